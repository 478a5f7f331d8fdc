//! `kubestile logout`.

use http::Method;
use kubestile_control::api::{Empty, EndAnswer};

use super::block_on;
use crate::args::client::Logout;
use crate::exit::{Kind, Outcome};
use crate::login::Login;
use crate::{credential, kubeconfig, output};

/// Ends the session, removes its contexts and forgets the key.
pub(super) fn run(args: &Logout) -> Outcome {
    let login = Login::find(args.gate.url.as_ref())?;
    let url = login.record().url.clone();
    let told: Outcome<EndAnswer> = block_on(async {
        let certificate = credential::current(&login).await?;
        let door = login.door(Some(&certificate))?;
        door.send(Method::POST, "/v1/logout", &Empty {}).await
    });
    let user = login.user()?;
    let gone = kubeconfig::edit(&login.record().kubeconfig, |document| {
        let gone = document.remove_contexts(&user, &[]);
        document.remove_user(&user);
        gone
    })?;
    login.forget()?;
    match told {
        Ok(_) => output::talk(&format!("logged out of {url}")),
        // A session that has ended is what was wanted.
        Err(fail) if fail.of_kind() != Kind::Unavailable => {
            output::talk(&format!("logged out of {url}: {}", fail.message()));
        }
        Err(fail) => {
            return Err(
                fail.during("the key is gone from this machine, but the session was not ended")
            );
        }
    }
    if !gone.is_empty() {
        output::talk(&format!("contexts removed: {}", gone.join(", ")));
    }
    Ok(())
}
