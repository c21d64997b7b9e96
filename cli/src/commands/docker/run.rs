//! `docker run|create`: new containers, said as `docker run` says it, as YAML, or as another one is.

use super::acts::Told;
use super::registries;
use crate::App;
use crate::args::{self, Yes};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use clap::{Args, ValueEnum};
use cmdr_protocol::containers::spec::{Healthcheck, Spec};
use cmdr_protocol::containers::{Create, CreatePrivileged, Like, run};
use cmdr_protocol::{CallError, ErrorKind};
use futures::StreamExt as _;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an engine may take to make and start one unless `--timeout` says otherwise.
const PATIENCE: Duration = Duration::from_mins(2);
/// Hosts that are at it at once.
const AT_ONCE: usize = 16;
/// The longest YAML that is read.
const LONGEST: u64 = 1024 * 1024;

/// Run a container, on one host or more. What follows the host is as behind 'docker run'.
///
/// It is looked through before anything is sent, and a port that is taken is found first. An image that a host does not
/// have is fetched, as --pull says. It runs in the background, with or without -d. Options of cmdr itself stand before the host.
///
/// Privileged containers, and those with folders, devices or namespaces of the host, added capabilities or security
/// options, take a right of their own on each of these (containers.create-privileged), and the host's agent.toml
/// has the last word.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// Read the container from this YAML file; '-' for standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Begin with what this container of the host was made with: its whole environment is shown to you, and that is put
    /// down in the audit log. Give it another name behind the host.
    #[arg(long, value_name = "CONTAINER", conflicts_with = "file")]
    like: Option<String>,

    /// Write it as YAML, for --file, and make nothing.
    #[arg(long)]
    print: bool,

    /// Whether to fetch the image first.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Fetch::Missing)]
    pull: Fetch,

    #[command(flatten)]
    yes: Yes,

    /// Which hosts; then, as behind 'docker run': options, the image, arguments.
    #[arg(value_names = ["HOST", "WORDS"], required = true, num_args = 1.., trailing_var_arg = true)]
    rest: Vec<String>,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fetch {
    /// Where the host does not have it.
    Missing,
    /// In any case.
    Always,
    /// Never.
    Never,
}

impl RunArgs {
    fn selector(&self) -> Result<&str, Failure> {
        let selector = self.rest.first().map_or("", String::as_str);
        args::selector(selector).map_err(Failure::usage)?;
        Ok(selector)
    }

    fn words(&self) -> &[String] {
        self.rest.get(1..).unwrap_or_default()
    }
}

const EXAMPLES: &str = "\
Examples:
  cmdr docker run web1 -d --name cache -p 6379:6379 --restart always redis:7
  cmdr docker run --print web1 -d -p 8080:80 nginx > web.yaml    the same as YAML
  cmdr docker run --file web.yaml 'role=web'                     on all web servers
  cmdr docker run --like cache web1 --name cache2 -p 6380:6379   more like this";

pub(super) async fn run(app: &App, args: &RunArgs, start: bool) -> Result<Exit, Failure> {
    let mut spec = match (&args.file, args.words().is_empty()) {
        (Some(_), false) => {
            return Err(Failure::usage(
                "the file says what the container shall be; nothing follows the host",
            ));
        }
        (Some(file), true) => read(file)?,
        (None, true) if args.like.is_none() => {
            return Err(Failure::usage("no image is named")
                .hint("as in: cmdr docker run web1 -d nginx; or give --file or --like"));
        }
        _ => Spec::default(),
    };
    let hub = Hub::connect(app).await?;
    if let Some(container) = &args.like {
        spec = like(app, &hub, args, container).await?;
    } else if args.file.is_none() {
        let words = run::parse(args.words(), &|name| std::env::var(name).ok());
        spec = words.map_err(Failure::usage)?.spec;
    }
    let problems = spec.problems();
    if !problems.is_empty() {
        let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Err(Failure::usage(format!("nothing was made: {}", all.join("; "))));
    }
    if args.print {
        app.out.data(&crate::output::yaml(&spec)?)?;
        return Ok(Exit::Ok);
    }
    make(app, &hub, args, spec, start).await
}

async fn like(app: &App, hub: &Hub, args: &RunArgs, container: &str) -> Result<Spec, Failure> {
    let host = hub.one_host(args.selector()?).await?;
    let likeness = hub.ask_host(host.id, &Like { container: container.to_owned() }).await?;
    for what in &likeness.beyond {
        app.out.note(&format!("{}: {container} has {what}, which cannot be said here", host.name));
    }
    let mut spec = likeness.spec;
    let old = std::mem::take(&mut spec.name);
    let spec = merged(spec, args.words())?;
    if spec.name == old && !old.is_empty() {
        return Err(Failure::usage(format!("{old} is the name of the one that it shall be like")));
    }
    Ok(spec)
}

/// What words change of it: variables and labels are added to those that are there; what else is said stands instead.
pub(super) fn merged(spec: Spec, words: &[String]) -> Result<Spec, Failure> {
    if words.is_empty() {
        return Ok(spec);
    }
    let said = run::parse_some(words, &|name| std::env::var(name).ok());
    let (mut whole, said) = (value(&spec)?, value(&said.map_err(Failure::usage)?.spec)?);
    if let (Some(into), Value::Object(from)) = (whole.as_object_mut(), said) {
        for (name, value) in from {
            match (into.get_mut(&name), value) {
                (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
                (_, value) => drop(into.insert(name, value)),
            }
        }
    }
    serde_json::from_value(whole).map_err(|e| Failure::usage(e.to_string()))
}

fn value(spec: &Spec) -> Result<Value, Failure> {
    serde_json::to_value(spec).map_err(|e| Failure::new(Exit::Fault, e.to_string()))
}

async fn make(
    app: &App,
    hub: &Hub,
    args: &RunArgs,
    spec: Spec,
    start: bool,
) -> Result<Exit, Failure> {
    let targets = hub.resolve(args.selector()?).await?;
    let (what, powers) = (spec.image.clone(), spec.powers());
    if !powers.is_empty() {
        app.out.note(&format!("it may do to its host: {}", powers.join(", ")));
    }
    if targets.len() > 1 {
        let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        let question =
            format!("Make a container of {what} on {} hosts: {}?", names.len(), names.join(", "));
        app.out.confirm(args.yes.yes, &question, &names.len().to_string()).await?;
    }
    if args.pull == Fetch::Always {
        let all: Vec<_> = targets.iter().collect();
        registries::fetch(app, hub, &all, &what, &spec.platform).await;
    }
    let patience = app.patience_or(PATIENCE);
    let platform = spec.platform.clone();
    let (plain, privileged) =
        (Create { spec: spec.clone(), start }, CreatePrivileged { spec, start });
    let is_plain = powers.is_empty();
    let ask = async |target: &Target| {
        if is_plain {
            hub.client.call(Some(target.id), &plain, patience).await
        } else {
            hub.client.call(Some(target.id), &privileged, patience).await
        }
    };
    let of_all = futures::stream::iter(&targets).map(ask).buffered(AT_ONCE);
    let mut answers: Vec<_> = targets.iter().zip(of_all.collect::<Vec<_>>().await).collect();
    if args.pull == Fetch::Missing {
        let lacks = |answer: &Result<_, CallError>| answer.as_ref().is_err_and(is_lacking);
        let lacking: Vec<_> =
            answers.iter().filter(|(_, answer)| lacks(answer)).map(|(host, _)| *host).collect();
        if !lacking.is_empty() {
            registries::fetch(app, hub, &lacking, &what, &platform).await;
            let again = futures::stream::iter(lacking.clone()).map(ask).buffered(AT_ONCE);
            let mut again = again.collect::<Vec<_>>().await.into_iter();
            for (_, answer) in answers.iter_mut().filter(|(_, answer)| lacks(answer)) {
                *answer = again.next().unwrap_or_else(|| Err(CallError::lost("no answer came")));
            }
        }
    }
    let mut told = Told::new();
    for (host, answer) in answers {
        told.put(app, &host.name, if start { "run" } else { "create" }, answer);
    }
    told.show(app)
}

/// Whether a host said that it does not have the image.
fn is_lacking(error: &CallError) -> bool {
    error.kind == ErrorKind::NotFound && error.message.contains("No such image")
}

/// Reads YAML; a name that is none of a container's settings is refused.
fn read(path: &Path) -> Result<Spec, Failure> {
    use std::io::Read as _;
    let shown = path.display();
    let wrong = |what: String| Failure::usage(format!("{shown}: {what}"));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
    };
    read.map_err(|e| wrong(e.to_string()))?;
    if text.len() as u64 > LONGEST {
        return Err(wrong("it is longer than 1 MiB".into()));
    }
    parse(&text).map_err(wrong)
}

fn parse(text: &str) -> Result<Spec, String> {
    let value: Value = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    let known = |value: Option<&Value>, names: &[&str], of: &str| {
        let fields = value.and_then(Value::as_object);
        match fields.into_iter().flatten().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => {
                Err(format!("'{name}' is no setting of {of}; there are: {}", names.join(", ")))
            }
            None => Ok(()),
        }
    };
    known(Some(&value), Spec::FIELDS, "a container")?;
    known(value.get("healthcheck"), Healthcheck::FIELDS, "a health check")?;
    // Read once more by the text: what looks like a number may be meant as a word.
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_as_yaml_comes_back_as_it_was() {
        let words: Vec<String> =
            "--name web -p 8080:80 -e A=1 -m 512m --cpus 1.5 --health-cmd true --init nginx:1 x"
                .split(' ')
                .map(str::to_owned)
                .collect();
        let spec = run::parse(&words, &|_| None).unwrap().spec;
        let text = crate::output::yaml(&spec).unwrap();
        assert_eq!(parse(&text).unwrap(), spec, "{text}");
        let by_hand = "image: nginx:1\nports:\n  - 8080:80\ncpus: 1.5\nenvironment:\n  A: 1\n";
        let spec = parse(by_hand).unwrap();
        assert_eq!(
            (spec.cpus.as_str(), spec.ports.as_slice()),
            ("1.5", &["8080:80".to_owned()][..])
        );
    }

    #[test]
    fn words_change_what_they_name_and_nothing_else() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let old = run::parse(&words("--name web -e A=1 -p 1:1 --init nginx:1 x"), &|_| None)
            .unwrap()
            .spec;
        let new = merged(old.clone(), &words("-e B=2 -p 2:2")).unwrap();
        assert_eq!((new.environment.len(), new.ports.as_slice()), (2, &["2:2".to_owned()][..]));
        assert_eq!(
            (new.image.as_str(), new.init, new.command.as_slice()),
            ("nginx:1", true, &["x".to_owned()][..])
        );
        assert_eq!(merged(old.clone(), &words("nginx:2")).unwrap().image, "nginx:2");
        assert_eq!(merged(old.clone(), &[]).unwrap(), old);
    }

    #[test]
    fn behind_the_host_everything_is_as_docker_has_it() {
        use clap::Parser as _;
        let words = [
            "-o", "json", "docker", "run", "--print", "web1", "-d", "-v", "/a:/b", "-t", "-o", "x",
        ];
        let cli = args::Cli::try_parse_from(["cmdr"].iter().chain(&words)).unwrap();
        let crate::commands::Command::Docker(args) = cli.command else { panic!() };
        let super::super::Verb::Run(args) = args.verb else { panic!() };
        assert!(args.print && args.selector().unwrap() == "web1");
        assert_eq!(args.words(), ["-d", "-v", "/a:/b", "-t", "-o", "x"]);
    }

    #[test]
    fn a_slip_of_the_pen_is_told() {
        let error = parse("image: x\nprot:\n  - 1:1\n").unwrap_err();
        assert!(error.contains("'prot' is no setting"), "{error}");
        assert!(parse("image: x\nhealthcheck:\n  tset: [a]\n").unwrap_err().contains("'tset'"));
        assert!(parse("image: [").is_err());
    }
}
