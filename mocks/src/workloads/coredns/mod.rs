//! CoreDNS, as far as the procedure can tell: it reads the Corefile that is mounted, serves the block with the longest
//! matching zone and no other, and runs the plugins errors, log, cache, kubernetes, forward, loadbalance, loop, reload,
//! ready, health and prometheus. Other plugins that CoreDNS has are accepted and named in the log as not emulated.
//!
//! Sources: the manuals of the plugins, and facts read off CoreDNS's own source where they say nothing.

mod cache;
mod chain;
mod config;
mod forward;
mod http;
mod kubernetes;
mod records;
mod reload;

use std::sync::Arc;

use acrossk8s_corefile::{Corefile, check};
use async_trait::async_trait;
use parking_lot::RwLock;

pub use kubernetes::Cluster;

use self::chain::Chain;
use super::dns_server::serve;
use super::{Container, ExecIo, Program};

/// Version that the emulation follows.
pub const VERSION: &str = "1.13.2";

/// Where the add-on's Deployment mounts the Corefile, unless `-conf` says otherwise.
const DEFAULT_CONF: &str = "/etc/coredns/Corefile";

/// The program of the image.
pub struct CoreDns;

/// What the parts of a running CoreDNS share.
struct Server {
    container: Container,
    cluster: Cluster,
    chain: RwLock<Arc<Chain>>,
    counters: http::Counters,
}

#[async_trait]
impl Program for CoreDns {
    async fn run(&self, container: Container) -> i32 {
        let log = container.log.clone();
        match start(container).await {
            Ok(()) => 0,
            Err(why) => {
                log.line(why);
                1
            }
        }
    }

    async fn exec(&self, _: Container, command: Vec<String>, io: ExecIo) -> i32 {
        // The image is made from scratch: it has the one binary and no shell.
        let name = command.first().cloned().unwrap_or_default();
        let message = format!(
            "exec failed: unable to start container process: exec: \"{name}\": executable file not found in $PATH\n"
        );
        let _ = io.stderr.send(message.into_bytes().into()).await;
        127
    }
}

/// The path of the Corefile.
fn conf(container: &Container) -> &str {
    let at = container.args.iter().position(|arg| arg == "-conf" || arg == "--conf");
    at.and_then(|at| container.args.get(at + 1)).map_or(DEFAULT_CONF, String::as_str)
}

/// The mounted Corefile.
fn mounted(container: &Container) -> Option<String> {
    let files = container.files.borrow();
    files.get(conf(container)).map(|content| String::from_utf8_lossy(content).into_owned())
}

/// Reads a Corefile and refuses what CoreDNS would refuse.
fn read(text: &str) -> Result<Corefile, String> {
    let corefile = Corefile::parse(text).map_err(|error| error.to_string())?;
    check(&corefile).map_err(|error| error.to_string())?;
    Ok(corefile)
}

async fn start(container: Container) -> Result<(), String> {
    let text =
        mounted(&container).ok_or_else(|| format!("Corefile: open {}: no such file or directory", conf(&container)))?;
    let corefile = read(&text)?;
    let cluster = Cluster::default();
    let server = Arc::new(Server {
        chain: RwLock::new(Arc::new(Chain::build(&corefile, &container, &cluster))),
        counters: http::Counters::new(&text),
        cluster,
        container: container.clone(),
    });
    for zone in corefile.blocks.iter().flat_map(|block| &block.keys) {
        container.log.line(zone.to_string());
    }
    container.log.line(format!("[INFO] plugin/reload: Running configuration SHA512 = {}", reload::hash(&text)));
    container.log.line(format!("CoreDNS-{VERSION}"));
    let watched = kubernetes::watch(&server);
    let answered = serve(&container.host, 53, server.clone());
    let (health, ready, metrics) = (http::health(&server), http::ready(&server), http::metrics(&server));
    tokio::select! {
        () = container.stop.cancelled() => Ok(()),
        why = watched => Err(why),
        result = answered => Err(format!("listen tcp :53: {}", result.err().map_or_else(String::new, |it| it.to_string()))),
        why = health => Err(why),
        why = ready => Err(why),
        why = metrics => Err(why),
        () = reload::follow(&server, text) => Ok(()),
        why = chain::detect_loops(&server) => Err(why),
    }
}
