//! One exec session: channels of a WebSocket on one side, a command's streams on the other.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{goodbye, refused};
use crate::kubernetes::api::kubelet::{Kubelet, KubeletError};
use crate::workloads::ExecIo;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
/// In v5, followed by the channel that ends.
const CLOSE: u8 = 255;

/// Chunks of a stream that wait for the other side.
const BUFFERED: usize = 32;

pub(super) struct Session {
    pub(super) kubelet: Arc<dyn Kubelet>,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) tty: bool,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    /// Whether the protocol can end one stream (v5).
    pub(super) closes_streams: bool,
}

impl Session {
    /// Runs the command until it ends or the client goes, which ends the command.
    pub(super) async fn run(self, socket: WebSocket) {
        let (mut sink, frames) = socket.split();
        let (stdin, stdin_receiver) = mpsc::channel(BUFFERED);
        let (stdout_sender, mut stdout) = mpsc::channel(BUFFERED);
        let (stderr_sender, mut stderr) = mpsc::channel(BUFFERED);
        let io = ExecIo { stdin: stdin_receiver, stdout: stdout_sender, stderr: stderr_sender };
        let run = self.kubelet.exec(
            &self.namespace,
            &self.pod,
            self.container.as_deref(),
            self.command.clone(),
            self.tty,
            io,
        );
        tokio::pin!(run);
        let input = feed(frames, self.stdin.then_some(stdin), self.closes_streams);
        tokio::pin!(input);
        let (mut more_out, mut more_err) = (true, true);
        let result = loop {
            tokio::select! {
                chunk = stdout.recv(), if more_out => match chunk {
                    Some(chunk) if self.stdout => if sink.send(frame(STDOUT, &chunk)).await.is_err() { return },
                    Some(_) => {}
                    None => more_out = false,
                },
                chunk = stderr.recv(), if more_err => match chunk {
                    Some(chunk) if self.stderr => if sink.send(frame(STDERR, &chunk)).await.is_err() { return },
                    Some(_) => {}
                    None => more_err = false,
                },
                result = &mut run => break result,
                () = &mut input => return,
            }
        };
        // What the command wrote before it ended, and nothing that a task it left behind writes later.
        for (channel, receiver, wanted) in [(STDOUT, &mut stdout, self.stdout), (STDERR, &mut stderr, self.stderr)] {
            receiver.close();
            while let Some(chunk) = receiver.recv().await {
                if wanted && sink.send(frame(channel, &chunk)).await.is_err() {
                    return;
                }
            }
        }
        let status = exit_status(result, &self.command).to_string();
        if sink.send(frame(ERROR, status.as_bytes())).await.is_ok() {
            // A client that has gone already needs no goodbye.
            let _ = sink.send(goodbye()).await;
        }
    }
}

/// Passes standard input on. Ends when the client goes.
async fn feed(
    mut frames: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
    mut stdin: Option<mpsc::Sender<Bytes>>,
    closes_streams: bool,
) {
    while let Some(Ok(message)) = frames.next().await {
        let data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        match data.split_first() {
            Some((&STDIN, rest)) if !rest.is_empty() => {
                let chunk = data.slice(1..);
                let ended = match &stdin {
                    Some(sender) => sender.send(chunk).await.is_err(),
                    None => false,
                };
                if ended {
                    stdin = None;
                }
            }
            Some((&CLOSE, [STDIN])) if closes_streams => stdin = None,
            // Terminal sizes and channels that a client has nothing to say on.
            _ => {}
        }
    }
}

fn frame(channel: u8, data: &[u8]) -> Message {
    let mut frame = BytesMut::with_capacity(data.len() + 1);
    frame.put_u8(channel);
    frame.put_slice(data);
    Message::Binary(frame.freeze())
}

/// What the error channel says.
fn exit_status(result: Result<i32, KubeletError>, command: &[String]) -> Value {
    match result {
        Ok(0) => json!({ "metadata": {}, "status": "Success" }),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!(
                "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
                command.join(" ")
            ),
            "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        }),
        Err(error) => refused(error).to_value(),
    }
}
