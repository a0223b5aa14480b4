//! The image `pingcap/tidb-operator`: several programs, told by the command.

use std::sync::Arc;

use acrossk8s_mocks::workloads::{Container, ExecIo, Images, Program};
use async_trait::async_trait;

use crate::{controller_manager, discovery};

/// The program of the image. `tidb-scheduler` is not emulated and ends with code 127.
#[derive(Debug, Clone, Copy, Default)]
pub struct TidbOperator;

/// Adds the image.
pub fn register(images: &mut Images) {
    for name in ["pingcap/tidb-operator", "docker.io/pingcap/tidb-operator"] {
        images.insert(name, Arc::new(TidbOperator));
    }
}

#[async_trait]
impl Program for TidbOperator {
    async fn run(&self, container: Container) -> i32 {
        let command = container.args.first().cloned().unwrap_or_default();
        match command.rsplit('/').next() {
            Some("tidb-controller-manager") => controller_manager::run(container).await,
            Some("tidb-discovery") => discovery::server::run(container).await,
            _ => {
                container.log.line(format!("exec: {command:?}: no such program in this image's emulation"));
                127
            }
        }
    }

    async fn exec(&self, _: Container, command: Vec<String>, io: ExecIo) -> i32 {
        let program = command.first().cloned().unwrap_or_default();
        // Whoever asked may have gone: then nobody misses the message.
        let _ = io.stderr.send(format!("exec: {program:?}: executable file not found in $PATH\n").into()).await;
        127
    }
}
