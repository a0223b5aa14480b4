//! Port forwarding as `v4.channel.k8s.io` has it: for the port at index i, channel 2i carries its bytes and channel
//! 2i + 1 says why it cannot be used. The first frame of each channel is the port, little endian.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::goodbye;
use crate::kubernetes::api::kubelet::Kubelet;
use crate::network::BoxStream;

const CHUNK: usize = 16 * 1024;
const BUFFERED: usize = 32;

/// Forwards until the client goes or every port's connection has ended.
pub(super) async fn run(socket: WebSocket, kubelet: Arc<dyn Kubelet>, namespace: &str, pod: &str, ports: Vec<u16>) {
    let (mut sink, mut frames) = socket.split();
    let (out, mut outgoing) = mpsc::channel::<Bytes>(BUFFERED);
    let mut tasks = JoinSet::new();
    let mut inputs = Vec::with_capacity(ports.len());
    for (index, port) in (0_u8..=126).zip(ports) {
        let (data, error) = (2 * index, 2 * index + 1);
        for channel in [data, error] {
            if sink.send(Message::Binary(frame(channel, &port.to_le_bytes()))).await.is_err() {
                return;
            }
        }
        match kubelet.port_forward(namespace, pod, port).await {
            Ok(stream) => {
                let (input, received) = mpsc::channel(BUFFERED);
                inputs.push(Some(input));
                tasks.spawn(forward(stream, received, out.clone(), data));
            }
            Err(why) => {
                inputs.push(None);
                let why = format!("error forwarding port {port} to pod {pod}: {why}");
                if sink.send(Message::Binary(frame(error, why.as_bytes()))).await.is_err() {
                    return;
                }
            }
        }
    }
    drop(out);
    // With no port open there is nothing to send, and the client reads the reasons before the close.
    let receive = async {
        while let Some(Ok(message)) = frames.next().await {
            let data = match message {
                Message::Binary(data) => data,
                Message::Close(_) => return,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) => continue,
            };
            let Some((channel, rest)) = data.split_first() else { continue };
            if channel % 2 != 0 || rest.is_empty() {
                continue;
            }
            if let Some(Some(input)) = inputs.get(usize::from(channel / 2)) {
                // A connection that has ended takes no more; the others go on.
                let _ = input.send(data.slice(1..)).await;
            }
        }
    };
    tokio::pin!(receive);
    loop {
        tokio::select! {
            chunk = outgoing.recv() => match chunk {
                Some(chunk) => if sink.send(Message::Binary(chunk)).await.is_err() { return },
                None => break,
            },
            () = &mut receive => return,
        }
    }
    // A client that has gone already needs no goodbye.
    let _ = sink.send(goodbye()).await;
}

async fn forward(stream: BoxStream, mut input: mpsc::Receiver<Bytes>, out: mpsc::Sender<Bytes>, channel: u8) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        while let Some(chunk) = input.recv().await {
            if writer.write_all(&chunk).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        // The other side may have closed first.
        let _ = writer.shutdown().await;
        std::future::pending::<()>().await;
    };
    let read = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            let chunk = buffer.get(..length).unwrap_or_default();
            if out.send(frame(channel, chunk)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = read => {}, () = write => {} }
}

fn frame(channel: u8, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(data.len() + 1);
    frame.put_u8(channel);
    frame.put_slice(data);
    frame.freeze()
}
