//! The demo's products, from `products.toml`.

use std::collections::BTreeMap;

use anyhow::Context;
use keyhouse_domain::product::{FIELDS, ProductFields, ProductPatch};
use serde::Deserialize;

/// The products of each mode, oldest first.
pub(super) struct Catalog {
    pub(super) live: Vec<ProductFields>,
    pub(super) test: Vec<ProductFields>,
}

impl Catalog {
    pub(super) fn load() -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            live: Vec<Sample>,
            test: Vec<Sample>,
        }
        let file: File = toml::from_str(include_str!("products.toml"))?;
        let read = |samples: Vec<Sample>| samples.iter().map(product).collect::<anyhow::Result<_>>();
        Ok(Self { live: read(file.live)?, test: read(file.test)? })
    }
}

/// Texts by the names of the API's fields.
type Sample = BTreeMap<String, String>;

fn product(sample: &Sample) -> anyhow::Result<ProductFields> {
    let mut patch = ProductPatch::default();
    for (name, text) in sample {
        let spec = FIELDS.iter().find(|spec| spec.name == name).with_context(|| format!("no field {name}"))?;
        let read = spec.read(&mut patch, spec.value_type.input(text));
        read.with_context(|| format!("{name} = {text:?}"))?;
    }
    Ok(ProductFields::new(patch)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_demo_product_is_valid() {
        let catalog = Catalog::load().unwrap();
        assert_eq!((catalog.live.len(), catalog.test.len()), (48, 6));
    }
}
