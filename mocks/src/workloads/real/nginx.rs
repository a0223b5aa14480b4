//! The real nginx, and the real curl of its image.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use nix::sys::signal::Signal;

use crate::workloads::nginx::{Nginx as InProcess, PORT, WELCOME};
use crate::workloads::{Container, ExecIo, Program};

/// Where the configuration is, and the page that it serves.
const CONFIGURATION: &str = "/etc/nginx/nginx.conf";
const PAGE: &str = "/usr/share/nginx/html/index.html";

/// Where nginx as Debian builds it keeps what it writes.
const WRITABLE: [&str; 2] = ["/var/lib/nginx", "/var/log/nginx"];

/// The program of the image `nginx`, as binaries of this machine. What is not given is in process.
///
/// The configuration is the image's in one file, with its workers' user: there may be only one here, in a user namespace.
/// With a real curl, every command of exec is looked for on this machine, and gets a file system of its own.
#[derive(Debug, Clone)]
pub struct Nginx {
    nginx: Option<PathBuf>,
    curl: Option<PathBuf>,
}

impl Nginx {
    /// Runs these binaries.
    pub fn new(nginx: Option<PathBuf>, curl: Option<PathBuf>) -> Self {
        Self { nginx, curl }
    }
}

/// The image's `nginx.conf` and `conf.d/default.conf`.
fn configuration() -> String {
    "user root root;
worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;

events {
    worker_connections 1024;
}

http {
    types {
        text/html html;
    }
    default_type application/octet-stream;
    log_format main '$remote_addr - $remote_user [$time_local] \"$request\" '
                    '$status $body_bytes_sent \"$http_referer\" '
                    '\"$http_user_agent\" \"$http_x_forwarded_for\"';
    access_log /dev/stdout main;
    sendfile on;
    keepalive_timeout 65;

    server {
        listen 80;
        server_name localhost;
        location / {
            root /usr/share/nginx/html;
            index index.html;
        }
    }
}
"
    .to_owned()
}

async fn run(container: &Container, binary: &PathBuf) -> io::Result<i32> {
    let more = BTreeMap::from([
        (PathBuf::from(CONFIGURATION), Bytes::from(configuration())),
        (PathBuf::from(PAGE), Bytes::from_static(WELCOME.as_bytes())),
    ]);
    let sandbox = super::sandbox(container, &more, WRITABLE).await?;
    let args = ["-e", "stderr", "-c", CONFIGURATION, "-g", "daemon off;"];
    let launch = super::launch(container, binary, &args);
    let ready = super::until(|| async move { container.host.connect(super::own(container, PORT)).await.is_ok() });
    super::run(container, &sandbox, &more, launch, Signal::SIGQUIT, ready).await
}

#[async_trait]
impl Program for Nginx {
    async fn run(&self, container: Container) -> i32 {
        match &self.nginx {
            Some(binary) => run(&container, binary).await.unwrap_or_else(|error| super::not_run(&container, &error)),
            None => InProcess.run(container).await,
        }
    }

    async fn exec(&self, container: Container, command: Vec<String>, io: ExecIo) -> i32 {
        let (Some(curl), Some((program, args))) = (&self.curl, command.split_first()) else {
            return InProcess.exec(container, command, io).await;
        };
        let program = match (program.as_str(), &self.nginx) {
            ("curl" | "/usr/bin/curl", _) => curl.as_os_str(),
            ("nginx" | "/usr/sbin/nginx", Some(nginx)) => nginx.as_os_str(),
            (other, _) => other.as_ref(),
        };
        super::exec::exec(&container, program, args, &command, io).await
    }
}
