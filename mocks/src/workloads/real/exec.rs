//! Commands in containers of real programs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::ChildStdin;
use tokio::sync::mpsc::{Receiver, Sender};

use super::NOT_STARTED;
use crate::network::kernel::process::Launch;
use crate::workloads::{Container, ExecIo, shell};

/// Exit code of what is there and is no program.
const NOT_EXECUTABLE: i32 = 126;

/// Runs a program of this machine in a container's namespaces. `command` is what was asked for, for messages.
pub(super) async fn exec(
    container: &Container,
    program: &OsStr,
    args: &[String],
    command: &[String],
    io: ExecIo,
) -> i32 {
    let sandbox = match super::sandbox(container, &BTreeMap::new(), []).await {
        Ok(sandbox) => sandbox,
        Err(error) => return refuse(&io, NOT_STARTED, &error).await,
    };
    // What ends before anything came was not asked for.
    let stdin = !(io.stdin.is_closed() && io.stdin.is_empty());
    let launch = Launch { stdin, ..super::launch(container, program, args) };
    let mut process = match sandbox.spawn(launch).await {
        Ok(process) => process,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return shell::not_found(command, &io).await,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return refuse(&io, NOT_EXECUTABLE, &error).await;
        }
        Err(error) => return refuse(&io, NOT_STARTED, &error).await,
    };
    let ExecIo { stdin, stdout, stderr } = io;
    let input = feed(stdin, process.stdin.take());
    let output = async {
        tokio::join!(drain(process.stdout.take(), stdout), drain(process.stderr.take(), stderr));
        process.wait().await
    };
    let (mut input, mut output) = (std::pin::pin!(input), std::pin::pin!(output));
    let code = tokio::select! {
        code = &mut output => code,
        () = &mut input => output.await,
    };
    code.unwrap_or(NOT_STARTED)
}

async fn refuse(io: &ExecIo, code: i32, error: &io::Error) -> i32 {
    shell::print(&io.stderr, format!("the command could not be run: {error}\n")).await;
    code
}

/// Passes standard input on until it ends, or nobody reads it.
async fn feed(mut from: Receiver<Bytes>, to: Option<ChildStdin>) {
    let Some(mut to) = to else { return };
    while let Some(bytes) = from.recv().await {
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Passes what a program writes on, to its end. A reader that has gone away does not stop the program.
async fn drain(from: Option<impl AsyncRead + Unpin>, to: Sender<Bytes>) {
    let Some(mut from) = from else { return };
    loop {
        let mut bytes = BytesMut::with_capacity(8 * 1024);
        match from.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => drop(to.send(bytes.freeze()).await),
        }
    }
}
