//! The certificate authority of the cluster, its one certificate, and the key of its service accounts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::site::{self, ADDRESS, API_SERVICE};
use crate::exec;
use crate::tools::apt;

/// The validity: longer than any test cluster exists.
const DAYS: &str = "3650";

/// Creates `ca.crt`, `server.crt`, `server.key`, `accounts.key` and `accounts.pub` in the state directory.
///
/// Authority and server have two certificates, because rustls does not accept an authority as a server. The one server
/// certificate is used by the API server and etcd, and by the API server as a client of etcd and kubelet.
pub(super) fn make() -> Result<()> {
    let openssl = apt::ensure_program("openssl", "openssl")?;
    let run = |args: &[&str]| exec::output(Command::new(&openssl).current_dir(site::STATE).args(args)).map(drop);
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let authority = [
        "-x509",
        "-days",
        DAYS,
        "-subj",
        "/CN=portolan-authority",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    ];
    run(&[&["req"], &key[..], &authority].concat())?;
    let request = [
        "-subj",
        "/O=system:masters/CN=portolan",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ];
    run(&[&["req"], &key[..], &request].concat())?;
    site::write("server.ext", &extensions())?;
    run(&[
        "x509",
        "-req",
        "-days",
        DAYS,
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "server.ext",
        "-out",
        "server.crt",
    ])?;
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    run(&[&["genpkey"], &curve[..], &["-out", "accounts.key"]].concat())?;
    run(&["pkey", "-in", "accounts.key", "-pubout", "-out", "accounts.pub"])?;
    for made_on_the_way in ["ca.key", "server.csr", "server.ext", "ca.srl"] {
        let _ = fs::remove_file(Path::new(site::STATE).join(made_on_the_way));
    }
    Ok(())
}

fn extensions() -> String {
    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let names = names.map(|name| format!("DNS:{name}")).join(",");
    format!(
        "basicConstraints=critical,CA:FALSE\n\
         extendedKeyUsage=serverAuth,clientAuth\n\
         subjectAltName={names},DNS:localhost,IP:127.0.0.1,IP:{ADDRESS},IP:{API_SERVICE}\n"
    )
}
