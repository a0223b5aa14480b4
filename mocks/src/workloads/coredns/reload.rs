//! The plugin `reload`.

use std::sync::Arc;
use std::time::Duration;

use acrossk8s_corefile::Corefile;
use rand::Rng as _;
use sha2::Digest as _;

use super::chain::Chain;
use super::{Server, mounted, read};

/// Interval and jitter that the plugin has by default (its manual).
const INTERVAL: Duration = Duration::from_secs(30);
const JITTER: Duration = Duration::from_secs(15);

/// Hash of a configuration. CoreDNS hashes its parsed form; this hashes the text, so that it too changes with each edit.
pub(super) fn hash(corefile: &str) -> String {
    sha2::Sha512::digest(corefile).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How often the file is looked at; `None` when no block has the plugin, or it is off.
fn interval(corefile: &Corefile) -> Option<(Duration, Duration)> {
    let directive = corefile.blocks.iter().find_map(|block| block.directive("reload"))?;
    let given = |at: usize| -> Option<Duration> {
        let text = directive.args.get(at)?;
        let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
        let factor = match unit {
            "ms" => 0.001,
            "m" => 60.0,
            "h" => 3600.0,
            _ => 1.0,
        };
        Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
    };
    if directive.args.first().is_some_and(|first| first == "off") {
        return None;
    }
    // The manual: two seconds and one second at the least.
    let interval = given(0).unwrap_or(INTERVAL).max(Duration::from_secs(2));
    let jitter = given(1).unwrap_or(JITTER).max(Duration::from_secs(1));
    Some((interval, jitter.min(interval / 2)))
}

/// Looks at the file every so often, and runs what it says from then on. A file that CoreDNS would refuse leaves the old
/// configuration running.
pub(super) async fn follow(server: &Arc<Server>, mut running: String) {
    let log = &server.container.log;
    let mut refused = String::new();
    loop {
        let Some((interval, jitter)) = read(&running).ok().and_then(|corefile| interval(&corefile)) else {
            return std::future::pending().await;
        };
        let shift = rand::rng().random_range(0.0..=1.0);
        server.container.clock.sleep(interval - jitter + (jitter * 2).mul_f64(shift)).await;
        let Some(text) = mounted(&server.container) else { continue };
        if text == running {
            continue;
        }
        match read(&text) {
            Ok(corefile) => {
                log.line("[INFO] Reloading");
                let chain = Chain::build(&corefile, &server.container, &server.cluster);
                *server.chain.write() = Arc::new(chain);
                server.counters.running(hash(&text));
                log.line(format!("[INFO] plugin/reload: Running configuration SHA512 = {}", hash(&text)));
                log.line("[INFO] Reloading complete");
                running = text;
            }
            Err(why) => {
                // CoreDNS complains at every look; once for each text is enough to read.
                if refused != text {
                    log.line(format!("[ERROR] Restart failed: {why}"));
                    log.line(format!("[ERROR] plugin/reload: Corefile changed but reload failed: {why}"));
                    refused = text;
                }
                server.counters.reload_failed();
            }
        }
    }
}
