//! Of WASI 0.3: one function.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasData, Linker};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::{self, ErrorCode, Host, HostWithStore};
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;

use super::super::{Names, Unresolved};
use crate::guest::state::ComponentState;

/// Who is asked.
struct Asked(Arc<Names>);

impl HasData for Asked {
    type Data<'a> = Self;
}

/// The whole interface.
pub(in crate::guest) fn add_to_linker(linker: &mut Linker<ComponentState>) -> Result<()> {
    ip_name_lookup::add_to_linker::<_, Asked>(linker, |state| Asked(state.names().clone()))
}

impl Host for Asked {}

impl<T> HostWithStore<T> for Asked {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> Result<Result<Vec<IpAddress>, ErrorCode>> {
        let names = store.with(|mut view| view.get().0);
        let found = names.resolve(&name).await;
        Ok(found
            .map(|addresses| addresses.into_iter().map(IpAddress::from).collect())
            .map_err(|error| code(&error)))
    }
}

fn code(error: &Unresolved) -> ErrorCode {
    match error {
        Unresolved::Denied => ErrorCode::AccessDenied,
        Unresolved::Invalid => ErrorCode::InvalidArgument,
        Unresolved::Unknown => ErrorCode::NameUnresolvable,
        Unresolved::Timeout | Unresolved::Unreachable(_) => ErrorCode::TemporaryResolverFailure,
        Unresolved::Refused(_) => ErrorCode::PermanentResolverFailure,
    }
}
