use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ingest::store::{Store, StoreConfig};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{call, insert, number, shared};

/// Speaks TLS with a certificate for 127.0.0.1 and passes on to `plain`, as a proxy before a server does.
///
/// Gives its address and the certificate, which vouches for itself.
async fn terminate_tls(plain: SocketAddr) -> (SocketAddr, String) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(plain).await.unwrap();
                copy_bidirectional(&mut stream, &mut server).await.ok();
            });
        }
    });
    (address, own.cert.pem())
}

#[tokio::test]
async fn a_server_is_trusted_only_if_an_authority_of_ours_vouches_for_it() {
    let engine = shared().await;
    let (address, certificate) = terminate_tls(engine.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("ca.pem");
    let open = |tls_ca| async {
        let config =
            StoreConfig { url: Some(format!("https://{address}")), tls_ca, ..engine.config("encrypted") };
        Store::open(&config, Path::new("/nowhere")).await
    };

    std::fs::write(&authorities, certificate).unwrap();
    let store = open(Some(authorities.clone())).await.unwrap();
    insert(&store, &(0..10).map(call).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(number(&store, "SELECT count() FROM calls_once").await, 10);

    assert!(open(None).await.unwrap_err().is_transient(), "no public authority vouches for it");
    std::fs::write(&authorities, "nothing").unwrap();
    let unusable = open(Some(authorities)).await.unwrap_err().to_string();
    assert!(unusable.ends_with("ca.pem: no certificate in it"), "{unusable}");
}
