//! Hears of commits of other processes.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

use super::address::Address;
use super::session::SETTINGS;
use crate::store::db::{Error, Result};

/// The channel, one a schema. A name that is not quoted ends with the first sign that is none of a name's.
const CHANNEL: &str = "SELECT format('LISTEN %I', 'tocsin:' || current_schema())";
pub(super) const RING: &str = "SELECT pg_notify('tocsin:' || current_schema(), '')";

/// After a connection that ended.
const AGAIN: Duration = Duration::from_secs(1);

/// Moves whenever somebody committed a change. What is missed while the connection is made anew is not told.
pub(in crate::store) fn listen(address: &Arc<Address>) -> watch::Receiver<u64> {
    let (ring, bell) = watch::channel(0_u64);
    let address = Arc::clone(address);
    tokio::spawn(async move {
        while !ring.is_closed() {
            if let Err(e) = hear(&address, &ring).await {
                tracing::warn!(error = %e, "notifications of other processes do not come; the record is looked at each second");
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    bell
}

/// Rings until the connection ends or nobody hears.
async fn hear(address: &Address, ring: &watch::Sender<u64>) -> Result<()> {
    let (client, mut connection) = address.connect().await?;
    let heard = ring.clone();
    let listening = async move {
        loop {
            match poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(_))) => heard.send_modify(|n| *n = n.wrapping_add(1)),
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(Error::from(e)),
                None => return Ok(()),
            }
        }
    };
    let asked = async {
        client.batch_execute(SETTINGS).await?;
        let listen: String = client.query_one(CHANNEL, &[]).await?.try_get(0)?;
        client.batch_execute(&listen).await?;
        ring.closed().await;
        Ok(())
    };
    tokio::select! { ended = listening => ended, asked = asked => asked }
}
