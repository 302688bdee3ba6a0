//! Request bodies: no panic; an accepted product is within its limits, and its price reads back as the same number.
#![no_main]

use keyhouse_domain::price::Price;
use keyhouse_domain::currency::Currency;
use keyhouse::web::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(fields) = fuzzing::new_product(bytes) {
        assert!((1..=255).contains(&fields.name.as_str().chars().count()));
        assert!(!fields.name.as_str().contains('\0'));
        assert_eq!(Price::parse(&fields.unit_price.to_string()), Ok(fields.unit_price));
        assert_eq!(Currency::parse(fields.currency.code()), Ok(fields.currency));
        // A patch with the fields of an accepted product changes nothing.
        let patch = fuzzing::product_patch(bytes).expect("a creation is a change of every field it names");
        assert_eq!(patch.apply(fields.clone()), fields);
    }
    let _no_panic = fuzzing::product_patch(bytes);
});
