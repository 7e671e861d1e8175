//! Switching a router on and off.

use redknot_storage::WriteTxn;

use super::record::{read, write};
use crate::catalog;
use crate::error::{Error, Result};

/// Lets searches follow the router of a collection, or not.
pub(crate) fn set_enabled(txn: &mut WriteTxn, name: &str, enabled: bool) -> Result<()> {
    let mut record = catalog::existing_in(txn, name)?;
    let Some(keys) = &mut record.router else { return Err(Error::NoRouter { name: name.into() }) };
    let (mut router, _) = read(txn.base(), name)?;
    router.enabled = enabled;
    keys.serial += 1;
    write(txn, name, &router, None)?;
    catalog::write_bytes(txn, name, &record.to_bytes())
}
