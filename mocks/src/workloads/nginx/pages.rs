//! What nginx serves.

use http::StatusCode;

use super::SERVER;

/// When the image's pages were last changed, and the same in ETag's hexadecimal seconds.
pub(super) const MODIFIED: &str = "Tue, 28 Dec 2021 15:28:38 GMT";
pub(super) const MODIFIED_TAG: &str = "61cb2d26";

/// The image's welcome page, 615 bytes.
pub const WELCOME: &str = "<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
<style>
html { color-scheme: light dark; }
body { width: 35em; margin: 0 auto;
font-family: Tahoma, Verdana, Arial, sans-serif; }
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>If you see this page, the nginx web server is successfully installed and
working. Further configuration is required.</p>

<p>For online documentation and support please refer to
<a href=\"http://nginx.org/\">nginx.org</a>.<br/>
Commercial support is available at
<a href=\"http://nginx.com/\">nginx.com</a>.</p>

<p><em>Thank you for using nginx.</em></p>
</body>
</html>
";

/// The page of an error.
pub(super) fn error(status: StatusCode) -> String {
    let reason = match status {
        StatusCode::METHOD_NOT_ALLOWED => "Not Allowed",
        status => status.canonical_reason().unwrap_or_default(),
    };
    let title = format!("{} {reason}", status.as_u16());
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>{SERVER}</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// The document for errors of servers behind.
pub(super) fn error_document() -> String {
    "<!DOCTYPE html>
<html>
<head>
<title>Error</title>
</head>
<body>
<h1>An error occurred.</h1>
</body>
</html>
"
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_have_the_lengths_of_the_images() {
        assert_eq!(WELCOME.len(), 615);
        assert_eq!(error(StatusCode::NOT_FOUND).len(), 153);
    }
}
