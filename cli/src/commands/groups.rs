//! `groups`: departments and projects, and who has which role on their hosts.

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Column, Format};
use clap::{Args, Subcommand};
use cmdr_link::settings;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::groups::{Delete, Group, Kind, List, Member, Put};
use cmdr_protocol::role::Role;
use std::io::Read as _;
use std::path::{Path, PathBuf};

const FILE: &str = "\
A group is a file like this:

  kind = \"project\"                  # or \"department\"
  department = \"web\"                # a project may belong to one: its hosts are among that one's
  description = \"the shop\"
  hosts = \"app=shop\"                # a selector
  members = [
    { operator = \"ann\", role = \"operator\" },
    { operator = \"bob\", role = \"observer\" },
  ]

Members have their role on the hosts of the group, beside the one that they have everywhere.";

/// Departments and projects: who has which role on which hosts.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub struct GroupsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List groups by name.
    #[command(alias = "ls")]
    List,
    /// Print a group as the file that 'groups set' reads.
    Show {
        /// Which.
        #[arg(value_parser = name)]
        group: Role,
    },
    /// Make a group, or replace it; holds at once.
    Set {
        /// A name of its own: a-z, 0-9 and '-'.
        #[arg(value_parser = name)]
        group: Role,
        /// The group, as TOML; - reads standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Give an operator a role in a group.
    Add {
        /// Which.
        #[arg(value_parser = name)]
        group: Role,
        /// Whom.
        operator: String,
        /// What they may do on its hosts.
        #[arg(long)]
        role: Role,
    },
    /// Take an operator out of a group.
    Remove {
        /// Which.
        #[arg(value_parser = name)]
        group: Role,
        /// Whom.
        operator: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Remove a group; its members keep what they have elsewhere.
    Delete {
        /// Which.
        #[arg(value_parser = name)]
        group: Role,
        #[command(flatten)]
        yes: Yes,
    },
}

/// Reads the name of a group.
fn name(text: &str) -> Result<Role, String> {
    let shown = || clean_to_width(text, 40);
    Role::parse(text).map_err(|_| {
        format!(
            "'{}' cannot name a group: 1 to 31 of a-z, 0-9 and '-', beginning with a letter",
            shown()
        )
    })
}

pub(super) async fn run(app: &App, args: &GroupsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match args.verb.as_ref().unwrap_or(&Verb::List) {
        Verb::List => list(app, &hub.ask(&List {}).await?.groups)?,
        Verb::Show { group } => {
            let group = find(&hub, *group).await?;
            if matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
                app.out.data(&write(&group)?)?;
            } else {
                app.out.one(&group, &[], group.name.as_str())?;
            }
        }
        Verb::Set { group, file } => {
            let read = Group { name: *group, ..read(file)? };
            let count = human::count(read.members.len() as u64, "member");
            hub.ask(&Put { group: read, was: None }).await?;
            app.out.note(&format!("the group {group} has {count} now"));
        }
        Verb::Add { group, operator, role } => {
            change(&hub, *group, |group| {
                group.members.retain(|member| member.operator != *operator);
                group.members.push(Member { operator: operator.clone(), role: *role });
                Ok(())
            })
            .await?;
            app.out.note(&format!("{operator} is {role} in {group} now"));
        }
        Verb::Remove { group, operator, yes } => {
            let was = find(&hub, *group).await?;
            is_in(&was, operator)?;
            let put = Put { group: was, was: None };
            let question = format!("Take {} out of {group}?", clean(operator));
            hub.confirm(app, *yes, (&put, None), (&question, "yes")).await?;
            change(&hub, *group, |group| {
                is_in(group, operator)?;
                group.members.retain(|member| member.operator != *operator);
                Ok(())
            })
            .await?;
            app.out.note(&format!("{operator} is not in {group} any more"));
        }
        Verb::Delete { group, yes } => {
            let (delete, question) =
                (Delete { name: *group }, format!("Delete the group {group}?"));
            hub.confirm(app, *yes, (&delete, None), (&question, "yes")).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the group {group} is deleted"));
        }
    }
    Ok(Exit::Ok)
}

fn is_in(group: &Group, operator: &str) -> Result<(), Failure> {
    if group.members.iter().any(|member| member.operator == operator) {
        return Ok(());
    }
    Err(Failure::new(Exit::NoMatch, format!("{operator} is not in {}", group.name)))
}

/// Changes a group, again when somebody else has changed it in between.
async fn change(
    hub: &Hub,
    name: Role,
    change: impl Fn(&mut Group) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        let was = find(hub, name).await?;
        let mut group = was.clone();
        change(&mut group)?;
        let put = Put { group, was: Some(was) };
        match hub.client.call(None, &put, hub.patience()).await {
            Err(e) if e.kind == ErrorKind::Conflict && tries < 20 => tries += 1,
            done => return done.map(drop).map_err(Failure::from_hub),
        }
    }
}

async fn find(hub: &Hub, name: Role) -> Result<Group, Failure> {
    let groups = hub.ask(&List {}).await?.groups;
    groups.into_iter().find(|group| group.name == name).ok_or_else(|| {
        Failure::new(Exit::NoMatch, format!("there is no group {name}"))
            .hint("all of them: cmdr groups")
    })
}

fn members(group: &Group) -> String {
    let all = group.members.iter().map(|m| format!("{} ({})", m.operator, m.role));
    clean(&all.collect::<Vec<_>>().join(", ")).into_owned()
}

fn list(app: &App, groups: &[Group]) -> Result<(), Failure> {
    let columns = [
        Column::text("GROUP", |r: &Group| r.name.to_string().into()),
        Column::text("KIND", |r| r.kind.as_str().into()),
        Column::text("OF", |r| match r.department {
            Role::NONE => "-".into(),
            department => department.to_string().into(),
        }),
        Column::text("HOSTS", |r| clean(&r.hosts).into_owned().into()),
        Column::text("MEMBERS", |r| members(r).into()),
        Column::text("DESCRIPTION", |r: &Group| clean(&r.description).into_owned().into()).wide(),
    ];
    app.out.list(groups, &columns, |r| r.name.to_string())
}

fn read(path: &Path) -> Result<Group, Failure> {
    let stdin = path == Path::new("-");
    let mut text = String::new();
    let source: std::io::Result<Box<dyn std::io::Read>> = if stdin {
        Ok(Box::new(std::io::stdin()))
    } else {
        std::fs::File::open(path).map(|f| Box::new(f) as _)
    };
    source
        .and_then(|source| source.take(1 << 20).read_to_string(&mut text))
        .map_err(|e| Failure::usage(format!("reading {}: {e}", path.display())))?;
    let name = if stdin { Path::new("standard input") } else { path };
    parse(name, &text)
}

fn parse(name: &Path, text: &str) -> Result<Group, Failure> {
    let group: Group = settings::parse(name, text).map_err(|e| Failure::usage(e.to_string()))?;
    if group.kind == Kind::Unknown {
        return Err(Failure::usage(format!(
            "{}: 'kind' is \"department\" or \"project\"",
            name.display()
        )));
    }
    Ok(group)
}

fn write(group: &Group) -> Result<String, Failure> {
    let fault = |e: &dyn std::fmt::Display| Failure::new(Exit::Fault, format!("writing: {e}"));
    let mut table = toml::Table::try_from(group).map_err(|e| fault(&e))?;
    // The name is the argument of 'set'; no department is none.
    table.remove("name");
    if group.department == Role::NONE {
        table.remove("department");
    }
    toml::to_string(&table).map_err(|e| fault(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_told_as_a_groups() {
        assert!(name("Web Team").unwrap_err().contains("cannot name a group"));
        assert_eq!(name("web"), Ok(Role::parse("web").unwrap()));
    }

    #[test]
    fn the_file_in_the_help_is_one_and_reads_back() {
        let text: String = FILE
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .flat_map(|line| [line, "\n"])
            .collect();
        let group = parse(Path::new("help"), &text).unwrap();
        assert_eq!((group.kind, group.members.len()), (Kind::Project, 2));
        assert_eq!(parse(Path::new("again"), &write(&group).unwrap()).unwrap(), group);
    }
}
