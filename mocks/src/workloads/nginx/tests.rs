//! nginx and the commands of its image, from outside.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::Ipv4Addr;
use std::sync::Arc;

use rstest::rstest;

use super::*;
use crate::workloads::testing::{Net, Rig};
use crate::workloads::vpc_resolver;

const SERVER_ADDRESS: [u8; 4] = [10, 2, 0, 9];

/// An nginx, and a client whose name server knows `web.test`.
async fn setting(net: &Net) -> (Rig, Rig, crate::workloads::dns::Server) {
    let server = Rig::new(net.host(SERVER_ADDRESS), &[]);
    server.run(Nginx);
    server.ready.clone().wait_for(|ready| *ready).await.unwrap();
    let names: vpc_resolver::Names = Arc::new(|name| match name {
        "web.test" => Some(vec![SERVER_ADDRESS.into()]),
        "empty.test" => Some(Vec::new()),
        _ => None,
    });
    let dns = vpc_resolver::start(net.host([10, 1, 0, 2]).as_ref(), names).await.unwrap();
    let mut client = Rig::new(net.host([10, 1, 0, 9]), &[("/etc/config/a", "mounted\n")]);
    client.container.resolv_conf.nameservers = vec![Ipv4Addr::new(10, 1, 0, 2)];
    client.container.resolv_conf.search = vec!["test".to_owned()];
    client.container.resolv_conf.ndots = 5;
    (server, client, dns)
}

#[tokio::test]
async fn the_documented_check_shows_the_welcome_page() {
    let net = Net::default();
    let (server, client, _dns) = setting(&net).await;
    let (code, output, errors) = client.exec(Nginx, &["curl", "http://web.test:80"]).await;
    assert_eq!((code, output.as_str()), (0, pages::WELCOME));
    assert!(errors.starts_with("  % Total    % Received"), "{errors}");
    let line = server.logged("GET").await;
    let (source, rest) = line.split_once(" - - [").unwrap();
    assert_eq!(source, "10.1.0.9");
    assert!(rest.ends_with("+0000] \"GET / HTTP/1.1\" 200 615 \"-\" \"curl/7.74.0\" \"-\""), "{line}");
}

#[tokio::test]
async fn what_the_harness_asks_curl_for_is_told() {
    let net = Net::default();
    let (server, client, _dns) = setting(&net).await;
    let format = "\\n%{http_code} %{remote_ip} %{remote_port} %{local_ip}";
    let command = ["curl", "-sS", "--connect-timeout", "5", "--max-time", "10", "-A", "agent/1", "-w", format, "web"];
    let (code, output, errors) = client.exec(Nginx, &command).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(output.rsplit_once('\n').unwrap().1, "200 10.2.0.9 80 10.1.0.9");
    assert!(server.logged("agent/1").await.starts_with("10.1.0.9 "));
}

#[tokio::test]
async fn headers_and_errors_are_nginxs() {
    let net = Net::default();
    let (server, client, _dns) = setting(&net).await;
    let (_, output, _) = client.exec(Nginx, &["curl", "-sI", "http://10.2.0.9/"]).await;
    for header in [
        "HTTP/1.1 200 OK\r\n",
        "Server: nginx/1.21.5\r\n",
        "Content-Type: text/html\r\n",
        "Content-Length: 615\r\n",
        "ETag: \"61cb2d26-267\"\r\n",
    ] {
        assert!(output.contains(header), "{output}");
    }
    let (code, output, _) = client.exec(Nginx, &["curl", "-s", "http://10.2.0.9/no?q"]).await;
    assert_eq!((code, output.len()), (0, 153));
    assert!(server.logged("GET /no?q").await.contains("\"/usr/share/nginx/html/no\" failed"));
    let (code, _, errors) = client.exec(Nginx, &["curl", "-fsS", "http://10.2.0.9/no"]).await;
    assert_eq!((code, errors.as_str()), (22, "curl: (22) The requested URL returned error: 404 Not Found\n"));
    let (_, output, _) =
        client.exec(Nginx, &["curl", "-so", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "http://10.2.0.9/"]).await;
    assert_eq!(output, "405");
}

#[rstest]
#[case::unknown(&["http://none.test./"], 6, "Could not resolve host: none.test.")]
#[case::no_address(&["http://empty.test./"], 6, "Could not resolve host: empty.test.")]
#[case::refused(&["http://10.2.0.9:81/"], 7, "Failed to connect to 10.2.0.9 port 81: Connection refused")]
#[case::dropped(&["http://10.9.9.9/"], 28, "Failed to connect to 10.9.9.9 port 80: Connection timed out")]
#[case::dropped_limit(
    &["--connect-timeout", "5", "-m", "10", "http://10.9.9.9/"], 28, "Connection timed out after 5000 milliseconds"
)]
#[case::telnet_dropped(&["-m", "3", "telnet://10.9.9.9:2379"], 28, "Connection timed out after 3000 milliseconds")]
#[case::telnet_refused(
    &["telnet://10.2.0.9:2379"], 7, "Failed to connect to 10.2.0.9 port 2379: Connection refused"
)]
#[case::protocol(&["ftp://10.2.0.9"], 1, "Protocol \"ftp\" not supported or disabled in libcurl")]
#[tokio::test]
async fn curl_fails_with_its_codes_and_messages(#[case] args: &[&str], #[case] code: i32, #[case] message: &str) {
    let net = Net::default();
    net.cut([10, 9, 9, 9], true);
    let (_server, client, _dns) = setting(&net).await;
    let command: Vec<&str> = ["curl", "-sS", "-w", "%{http_code}"].iter().chain(args).copied().collect();
    let (actual, output, errors) = client.exec(Nginx, &command).await;
    assert_eq!((actual, output.as_str(), errors), (code, "000", format!("curl: ({code}) {message}\n")));
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_is_a_limit_or_no_host() {
    let net = Net::default();
    net.cut([10, 1, 0, 2], true);
    let (_server, client, _dns) = setting(&net).await;
    let (code, _, errors) = client.exec(Nginx, &["curl", "-sS", "http://web.test/"]).await;
    assert_eq!((code, errors.as_str()), (6, "curl: (6) Could not resolve host: web.test\n"));
    let (code, _, errors) = client.exec(Nginx, &["curl", "-sSm5", "http://web.test/"]).await;
    assert_eq!((code, errors.as_str()), (28, "curl: (28) Resolving timed out after 5000 milliseconds\n"));
}

#[tokio::test]
async fn a_server_that_says_nothing_and_one_that_hangs_up_are_told_apart() {
    let net = Net::default();
    let (_server, client, _dns) = setting(&net).await;
    let silent = net.host([10, 2, 0, 10]).listen(80).await.unwrap();
    let (code, _, errors) = client.exec(Nginx, &["curl", "-sSm0.05", "http://10.2.0.10/"]).await;
    assert_eq!(code, 28);
    assert_eq!(errors, "curl: (28) Operation timed out after 50 milliseconds with 0 bytes received\n");
    // The first connection waits there yet.
    drop(silent.accept().await.unwrap());
    let hang_up = async { drop(silent.accept().await.unwrap()) };
    let ((code, _, errors), ()) = tokio::join!(client.exec(Nginx, &["curl", "-sS", "http://10.2.0.10/"]), hang_up);
    assert_eq!((code, errors.as_str()), (52, "curl: (52) Empty reply from server\n"));
    let (code, _, _) = client.exec(Nginx, &["curl", "-sS", "telnet://10.2.0.10:80"]).await;
    assert_eq!(code, 0);
}

#[rstest]
#[case(&["true"], 0, "", "")]
#[case(&["hostname"], 0, "pod-1\n", "")]
#[case(&["cat", "/etc/config/a"], 0, "mounted\n", "")]
#[case(&["cat", "/etc/resolv.conf"], 0, "search test\nnameserver 10.1.0.2\noptions ndots:5\n", "")]
#[case(&["cat", "/no"], 1, "", "cat: /no: No such file or directory\n")]
#[case(&["getent", "hosts", "web"], 0, "10.2.0.9        web\n", "")]
#[case(&["getent", "ahostsv4", "web"], 0, "10.2.0.9        STREAM web\n10.2.0.9        DGRAM\n10.2.0.9        RAW\n", "")]
#[case(&["getent", "hosts", "nobody"], 2, "", "")]
#[case(&["sh", "-c", "cat '/etc/config/a'"], 0, "mounted\n", "")]
#[case(&["nginx", "-v"], 0, "", "nginx version: nginx/1.21.5\n")]
#[tokio::test]
async fn commands_of_the_image_are_there(
    #[case] command: &[&str],
    #[case] code: i32,
    #[case] output: &str,
    #[case] errors: &str,
) {
    let net = Net::default();
    let (_server, client, _dns) = setting(&net).await;
    assert_eq!(client.exec(Nginx, command).await, (code, output.to_owned(), errors.to_owned()));
}

#[tokio::test]
async fn other_commands_are_not() {
    let rig = Rig::new(Net::default().host(SERVER_ADDRESS), &[]);
    let (code, _, errors) = rig.exec(Nginx, &["dig", "a"]).await;
    assert_eq!(code, 127);
    assert!(errors.contains("exec: \"dig\": executable file not found in $PATH"), "{errors}");
    let (code, _, _) = rig.exec(Nginx, &[]).await;
    assert_eq!(code, 127);
}

#[tokio::test]
async fn a_taken_port_ends_the_start() {
    let net = Net::default();
    let rig = Rig::new(net.host(SERVER_ADDRESS), &[]);
    let _taken = net.host(SERVER_ADDRESS).listen(80).await.unwrap();
    assert_eq!(rig.run(Nginx).await.unwrap(), 1);
    rig.logged("[emerg] 1#1: bind() to 0.0.0.0:80 failed").await;
}
