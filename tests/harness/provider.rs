//! A real OpenID Connect provider (npm's oidc-provider) on a private port, and somebody with a browser.

use crate::process::{Running, pause};
use cmdr_hub::login::oidc::Settings;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// As scripts/install-tools has it.
const VERSION: &str = "8.8.1";

/// A running provider with the clients `cmdr`, without a secret, and `cmdr-secret`.
#[derive(Debug)]
pub struct Provider {
    dir: tempfile::TempDir,
    port: u16,
    running: Running,
}

/// The secret of `cmdr-secret`.
pub const CLIENT_SECRET: &str = "s3cret:with/odd+signs&%";

fn folder() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let folder =
        cache.expect("there is a home").join(format!("commander-tools/oidc-provider-{VERSION}"));
    assert!(
        folder.join("complete").exists(),
        "{} is missing; run scripts/install-tools",
        folder.display()
    );
    folder
}

fn gone(dir: &Path) -> PathBuf {
    dir.join("gone")
}

impl Provider {
    /// Starts a provider whose codes last so many seconds.
    pub fn start(code_seconds: u64) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), cmdr_link::port::choose());
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let client = |id: &str, method: &str| {
            let mut client = serde_json::json!({
                "client_id": id, "token_endpoint_auth_method": method,
                "grant_types": [grant, "refresh_token"],
                "redirect_uris": [], "response_types": [],
            });
            if method != "none" {
                client["client_secret"] = CLIENT_SECRET.into();
            }
            client
        };
        let clients = [client("cmdr", "none"), client("cmdr-secret", "client_secret_basic")];
        let options = serde_json::json!({ "clients": clients, "ttl": code_seconds, "gone": gone(dir.path()) });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/provider.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(folder()).arg(port.to_string()).arg(options.to_string());
        let mut running = Running::start(&mut command, &dir.path().join("provider.log"));
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = running.ended();
            assert!(ended.is_none(), "the provider ended with {ended:?}:\n{}", running.text());
            assert!(begin.elapsed() < Duration::from_mins(1), "not up:\n{}", running.text());
            pause();
        }
        Self { dir, port, running }
    }

    /// Its address.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Removes somebody.
    pub fn remove(&self, person: &str) {
        std::fs::write(gone(self.dir.path()), person).unwrap();
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        self.running.text()
    }

    /// Settings for it as this client.
    pub fn settings(&self, client: &str) -> Settings {
        let mut text = format!("issuer = \"{}\"\nclient_id = \"{client}\"\n", self.issuer());
        if client == "cmdr-secret" {
            let path = self.dir.path().join("client secret");
            cmdr_link::files::write_private(&path, CLIENT_SECRET.as_bytes()).unwrap();
            writeln!(text, "client_secret_file = \"{}\"", path.display()).unwrap();
        }
        settings(&text)
    }
}

/// Reads settings, with a mapping added.
pub fn settings(text: &str) -> Settings {
    let groups = "[[groups]]\ngroup = \"ops\"\nrole = \"operator\"\n";
    let path = Path::new("hub.toml");
    cmdr_link::settings::parse(path, &format!("{text}\n{groups}")).unwrap()
}

/// A browser with cookies, made to click through the provider's pages.
#[derive(Debug)]
pub struct Browser {
    agent: ureq::Agent,
    cookies: BTreeMap<String, String>,
}

/// A page: where it came from and what is on it.
#[derive(Debug)]
struct Page {
    address: String,
    text: String,
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// A browser without cookies.
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false);
        Self { agent: config.build().new_agent(), cookies: BTreeMap::new() }
    }

    fn load(&mut self, address: &str, fields: Option<&[(String, String)]>) -> Page {
        let (mut address, mut fields) = (address.to_owned(), fields);
        for _ in 0..10 {
            let cookies: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let cookies = cookies.join("; ");
            let answer = match fields {
                Some(fields) => self
                    .agent
                    .post(&address)
                    .header("Cookie", &cookies)
                    .send_form(fields.iter().map(|(n, v)| (n.as_str(), v.as_str()))),
                None => self.agent.get(&address).header("Cookie", &cookies).call(),
            };
            let mut answer = answer.unwrap();
            for cookie in answer.headers().get_all("set-cookie") {
                let text = cookie.to_str().unwrap();
                let pair = text.split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                if value.is_empty() {
                    self.cookies.remove(name);
                } else {
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
            }
            let text = answer.body_mut().read_to_string().unwrap();
            let Some(to) = answer.headers().get("location") else {
                assert!(answer.status().as_u16() < 500, "{address}: {text}");
                return Page { address, text };
            };
            let to = to.to_str().unwrap();
            let origin = address.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            address = if to.starts_with('/') { format!("{origin}{to}") } else { to.to_owned() };
            fields = None;
        }
        panic!("{address} sends around in circles");
    }

    /// Submits the page's form with its own fields and these.
    fn submit(&mut self, page: &Page, more: &[(&str, &str)]) -> Page {
        let attribute = |tag: &str, name: &str| {
            let (_, rest) = tag.split_once(&format!("{name}=\""))?;
            Some(rest.split('"').next().unwrap_or_default().replace("&amp;", "&"))
        };
        let form =
            page.text.split("<form").nth(1).unwrap_or_else(|| panic!("no form: {}", page.text));
        let form = form.split("</form>").next().unwrap();
        let action = attribute(form, "action").unwrap();
        let origin = page.address.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let action = if action.starts_with('/') { format!("{origin}{action}") } else { action };
        let mut fields: Vec<(String, String)> = Vec::new();
        for input in form.split("<input").skip(1) {
            let input = input.split('>').next().unwrap();
            if input.contains("type=\"hidden\"") {
                let value = attribute(input, "value").unwrap_or_default();
                fields.push((attribute(input, "name").unwrap(), value));
            }
        }
        fields.extend(more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        self.load(&action, Some(&fields))
    }

    /// Opens the address with the code in it, and stands where somebody says whether they began it.
    fn arrive(&mut self, address: &str) -> Page {
        let page = self.load(address, None);
        // Where the code comes with the address, the page sends it on by script.
        if page.text.contains("name=\"user_code\"") && !page.text.contains("name=\"confirm\"") {
            return self.submit(&page, &[]);
        }
        page
    }

    /// Confirms a code as this person: the code, the name, what the hub may know.
    pub fn confirm(&mut self, address: &str, person: &str) {
        let page = self.arrive(address);
        let login = self.submit(&page, &[]);
        let consent = self.submit(&login, &[("login", person), ("password", "any")]);
        let done = self.submit(&consent, &[]);
        assert!(done.text.contains("Sign-in Success"), "{}", done.text);
    }

    /// Says that it was somebody else.
    pub fn deny(&mut self, address: &str) {
        let page = self.arrive(address);
        let done = self.submit(&page, &[("abort", "yes")]);
        assert!(done.text.contains("interrupted"), "{}", done.text);
    }
}
