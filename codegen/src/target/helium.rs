//! Cortex-M55, M85: vectors of int8 or int16.

use super::{Architecture, Layer, Mode, Target};
use crate::plan::kernels::{Dense, Kernel, helium};
use crate::plan::layout::Layout;
use crate::plan::{Type, Value};
use std::sync::Arc;

pub(super) struct Helium;

impl Architecture for Helium {
    fn takes(&self, layer: &Layer) -> bool {
        // Everything else is exact: sums wrap as the portable loop's, and limits may be any.
        let activation = |value: &Value| matches!(value.quant.ty, Type::I8 | Type::I16);
        activation(layer.x) && (layer.sums || activation(layer.y)) && layer.gemm.inputs > 0
    }

    fn sums(&self) -> bool {
        true
    }

    fn operand(&self, _: &Layer, _: Target) -> (Layout, Option<Arc<dyn Kernel>>) {
        (Layout::Plain, None)
    }

    fn between(&self) -> Layout {
        Layout::Plain
    }

    fn layer(&self, layer: &Layer, target: Target) -> Arc<dyn Kernel> {
        let (dense, x) = (Dense { layer: layer.gemm, masks: None, sums: layer.sums }, layer.x.quant.ty);
        // Half the flash of weights, a fifth more instructions.
        let packed = if target.mode == Mode::Size { helium::Gemm::packed(dense, x) } else { None };
        let kernel = packed.or_else(|| helium::Gemm::new(dense, x));
        kernel.map_or_else(|| unreachable!("the layer has no masks"), |kernel| Arc::new(kernel) as Arc<dyn Kernel>)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Core, tests};
    use super::*;
    use crate::quantize::format::Format;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_layer_is_taken_and_computes_what_the_portable_one_does(case in tests::cases(40, 40)) {
            for target in tests::targets(Core::Helium) {
                prop_assert!(!tests::compare(&Helium, &case, target).is_empty());
            }
        }
    }

    #[test]
    fn the_small_mode_packs() {
        let op = |format, mode| {
            let case = tests::of_format(tests::case(64, 16, |_| false), format);
            tests::compare(&Helium, &case, Target { core: Core::Helium, mode, constant_time: false })[0].op()
        };
        for format in [Format::Int4, Format::Ternary] {
            assert_eq!(op(format, Mode::Size), "GemmPacked");
            assert_eq!(op(format, Mode::Balanced), "Gemm");
        }
        assert_eq!(op(Format::PowerOfTwo, Mode::Size), "Gemm");
    }
}
