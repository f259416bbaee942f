//! Cortex-M55, M85: vectors of int8 or int16.

use super::{Architecture, Layer, Target};
use crate::plan::kernels::{Kernel, helium};
use crate::plan::layout::Layout;
use crate::plan::{Type, Value};
use std::sync::Arc;

pub(super) struct Helium;

impl Architecture for Helium {
    fn takes(&self, layer: &Layer) -> bool {
        // Everything else is exact: sums wrap as the portable loop's, and limits may be any.
        let activation = |value: &Value| matches!(value.quant.ty, Type::I8 | Type::I16);
        activation(layer.x) && activation(layer.y) && layer.gemm.inputs > 0
    }

    fn operand(&self, _: &Layer, _: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        (Layout::Plain, None)
    }

    fn between(&self) -> Layout {
        Layout::Plain
    }

    fn layer(&self, layer: &Layer, _: Target) -> Arc<dyn Kernel> {
        Arc::new(helium::Gemm::new(layer.gemm, layer.x.quant.ty))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Core, tests};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_layer_is_taken_and_computes_what_the_portable_one_does(case in tests::cases(40, 40)) {
            for target in tests::targets(Core::Helium) {
                prop_assert!(!tests::compare(&Helium, &case, target).is_empty());
            }
        }
    }
}
