//! What a name in a model stands for: a constant, or a tensor of the graph under construction.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};
use std::sync::Arc;

use super::proto::{TensorProto, data_type};
use crate::error::Problem;
use crate::graph::{Labels, TensorId, show_shape};

/// Type of the elements, as far as it matters to what operators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Float,
    Int,
    Bool,
    Text,
    /// Integers that are indices out of `ArgMax`.
    Index,
}

impl Type {
    /// From `TensorProto.DataType`.
    pub(super) fn from_onnx(data_type: i32) -> Result<Self, Problem> {
        use data_type::*;
        match data_type {
            FLOAT | FLOAT16 | DOUBLE | BFLOAT16 => Ok(Self::Float),
            UINT8 | INT8 | UINT16 | INT16 | INT32 | INT64 | UINT32 | UINT64 => Ok(Self::Int),
            BOOL => Ok(Self::Bool),
            STRING => Ok(Self::Text),
            other => Err(fault(format!("elements of type {} are not supported", name(other)))),
        }
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(Constant),
    Computed(Computed),
    /// The result of something that failed; what depends on it is not reported.
    Poison,
}

impl Value {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Constant(c) => &c.shape,
            Self::Computed(c) => &c.shape,
            Self::Poison => &[],
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.shape().len()
    }

    pub(super) fn ty(&self) -> Type {
        match self {
            Self::Constant(c) => c.ty,
            Self::Computed(c) => c.ty,
            Self::Poison => Type::Float,
        }
    }

    pub(super) fn constant(&self) -> Option<&Constant> {
        match self {
            Self::Constant(c) => Some(c),
            _ => None,
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    /// The number, if it is a constant of one element.
    pub(super) fn scalar(&self) -> Option<f64> {
        match self.constant().filter(|c| c.len() == 1)?.numbers().as_slice() {
            [x] => Some(*x),
            _ => None,
        }
    }
}

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub(super) struct Computed {
    pub(super) id: TensorId,
    pub(super) shape: Vec<usize>,
    pub(super) ty: Type,
    /// What an index, or the columns behind a `ZipMap`, stand for.
    pub(super) labels: Option<Arc<Labels>>,
}

/// A constant tensor.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// For people: the initializer, or the result that was folded into it.
    pub(super) name: Arc<str>,
    pub(super) shape: Vec<usize>,
    pub(super) ty: Type,
    pub(super) data: Data,
}

/// The elements of a constant.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Float(Arc<[f32]>),
    /// Integers, and 0 or 1 for truth values.
    Int(Arc<[i64]>),
    Text(Arc<[String]>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Float(d) => d.len(),
            Self::Int(d) => d.len(),
            Self::Text(d) => d.len(),
        }
    }

    /// The elements at the given offsets. Offsets beyond the end are left out.
    fn gather(&self, offsets: &[usize]) -> Self {
        fn pick<T: Clone>(from: &[T], offsets: &[usize]) -> Arc<[T]> {
            offsets.iter().filter_map(|&o| from.get(o).cloned()).collect()
        }
        match self {
            Self::Float(d) => Self::Float(pick(d, offsets)),
            Self::Int(d) => Self::Int(pick(d, offsets)),
            Self::Text(d) => Self::Text(pick(d, offsets)),
        }
    }
}

impl Constant {
    pub(super) fn floats(shape: Vec<usize>, data: impl Into<Arc<[f32]>>) -> Self {
        Self { name: "".into(), shape, ty: Type::Float, data: Data::Float(data.into()) }
    }

    pub(super) fn ints(shape: Vec<usize>, data: impl Into<Arc<[i64]>>) -> Self {
        Self { name: "".into(), shape, ty: Type::Int, data: Data::Int(data.into()) }
    }

    /// A float scalar.
    pub(super) fn scalar(x: f64) -> Self {
        Self::floats(Vec::new(), [x as f32])
    }

    /// Numbers as elements of the given type: integers are truncated, truth values are 0 or 1.
    pub(super) fn from_numbers(shape: Vec<usize>, ty: Type, numbers: &[f64]) -> Self {
        let data = match ty {
            Type::Float | Type::Text => Data::Float(numbers.iter().map(|&x| x as f32).collect()),
            Type::Int | Type::Index => Data::Int(numbers.iter().map(|&x| x as i64).collect()),
            Type::Bool => Data::Int(numbers.iter().map(|&x| i64::from(x != 0.0)).collect()),
        };
        Self { name: "".into(), shape, ty, data }
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// The elements as numbers; none for text.
    pub(super) fn numbers(&self) -> Vec<f64> {
        match &self.data {
            Data::Float(d) => d.iter().map(|&x| f64::from(x)).collect(),
            Data::Int(d) => d.iter().map(|&x| x as f64).collect(),
            Data::Text(_) => Vec::new(),
        }
    }

    /// The elements as f32; none for text.
    pub(super) fn to_floats(&self) -> Arc<[f32]> {
        match &self.data {
            Data::Float(d) => d.clone(),
            Data::Int(d) => d.iter().map(|&x| x as f32).collect(),
            Data::Text(_) => Arc::default(),
        }
    }

    /// The elements at the given offsets, as a tensor of the given shape.
    pub(super) fn gather(&self, shape: Vec<usize>, offsets: &[usize]) -> Self {
        Self { name: self.name.clone(), shape, ty: self.ty, data: self.data.gather(offsets) }
    }

    /// The place of the first element that is not a finite number.
    pub(super) fn not_finite(&self) -> Option<String> {
        let Data::Float(data) = &self.data else { return None };
        let (index, x) = data.iter().enumerate().find(|(_, x)| !x.is_finite())?;
        let mut rest = index;
        let mut place: Vec<_> = self
            .shape
            .iter()
            .rev()
            .map(|&extent| {
                let k = rest.checked_rem(extent).unwrap_or(0);
                rest = rest.checked_div(extent).unwrap_or(0);
                k
            })
            .collect();
        place.reverse();
        let what = if x.is_nan() { "not a number" } else { "infinite" };
        Some(format!("element {} is {what}", show_shape(&place)))
    }
}

/// A problem whose place is the node at hand.
pub(super) fn fault(reason: impl Into<String>) -> Problem {
    Problem::new("", reason)
}

/// Axes that a tensor may have.
const MAX_RANK: usize = 16;

/// The product of extents, if it is a sensible size.
pub(super) fn count(shape: &[usize]) -> Result<usize, Problem> {
    if shape.len() > MAX_RANK {
        return Err(fault(format!("{} axes are more than the {MAX_RANK} that are supported", shape.len())));
    }
    shape
        .iter()
        .try_fold(1usize, |n, &extent| n.checked_mul(extent))
        .filter(|&n| n <= isize::MAX as usize / 16)
        .ok_or_else(|| fault(format!("shape {} is too large", show_shape(shape))))
}

/// Extents from a file.
pub(super) fn to_shape(dims: &[i64]) -> Result<Vec<usize>, Problem> {
    dims.iter()
        .map(|&d| usize::try_from(d).map_err(|_| fault(format!("shape {dims:?} has a negative extent"))))
        .collect()
}

/// Reads a tensor of the file. `directory` is where its external data may lie.
pub(super) fn read(tensor: &TensorProto, directory: Option<&Path>) -> Result<Constant, Problem> {
    let ty = Type::from_onnx(tensor.data_type)?;
    let shape = to_shape(&tensor.dims)?;
    let len = count(&shape)?;
    let external;
    let raw = if tensor.data_location == 1 || !tensor.external_data.is_empty() {
        external = read_external(tensor, bytes_of(tensor, len)?, directory)?;
        Some(external.as_slice())
    } else {
        (!tensor.raw_data.is_empty()).then_some(tensor.raw_data.as_slice())
    };
    let data = match raw {
        Some(raw) => from_raw(tensor, raw, bytes_of(tensor, len)?)?,
        None => from_fields(tensor),
    };
    if data.len() != len {
        return Err(fault(format!("shape {} needs {len} elements, the file has {}", show_shape(&shape), data.len())));
    }
    Ok(Constant { name: tensor.name.as_str().into(), shape, ty, data })
}

/// Bytes of `len` elements.
fn bytes_of(tensor: &TensorProto, len: usize) -> Result<usize, Problem> {
    use data_type::*;
    let size = match tensor.data_type {
        UINT8 | INT8 | BOOL => 1,
        UINT16 | INT16 | FLOAT16 | BFLOAT16 => 2,
        FLOAT | INT32 | UINT32 => 4,
        DOUBLE | INT64 | UINT64 => 8,
        other => return Err(fault(format!("raw data of type {} is not supported", name(other)))),
    };
    len.checked_mul(size).ok_or_else(|| fault("the shape is too large"))
}

fn from_raw(tensor: &TensorProto, raw: &[u8], expected: usize) -> Result<Data, Problem> {
    use data_type::*;
    if raw.len() != expected {
        let dims = &tensor.dims;
        return Err(fault(format!("shape {dims:?} needs {expected} bytes, the file has {}", raw.len())));
    }
    /// Little-endian elements of `N` bytes.
    fn each<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Arc<[T]> {
        raw.as_chunks::<N>().0.iter().map(|bytes| convert(*bytes)).collect()
    }
    Ok(match tensor.data_type {
        FLOAT => Data::Float(each(raw, f32::from_le_bytes)),
        DOUBLE => Data::Float(each(raw, |b| f64::from_le_bytes(b) as f32)),
        FLOAT16 => Data::Float(each(raw, |b| half(u16::from_le_bytes(b)))),
        BFLOAT16 => Data::Float(each(raw, |b| brain(u16::from_le_bytes(b)))),
        INT64 => Data::Int(each(raw, i64::from_le_bytes)),
        UINT64 => Data::Int(each(raw, |b| saturate(u64::from_le_bytes(b)))),
        INT32 => Data::Int(each(raw, |b| i32::from_le_bytes(b).into())),
        UINT32 => Data::Int(each(raw, |b| u32::from_le_bytes(b).into())),
        INT16 => Data::Int(each(raw, |b| i16::from_le_bytes(b).into())),
        UINT16 => Data::Int(each(raw, |b| u16::from_le_bytes(b).into())),
        INT8 => Data::Int(each(raw, |b| i8::from_le_bytes(b).into())),
        BOOL => Data::Int(each(raw, |b| i64::from(u8::from_le_bytes(b) != 0))),
        _ => Data::Int(each(raw, |b| u8::from_le_bytes(b).into())),
    })
}

/// Elements in the fields that each type has; the small ones share `int32_data`.
fn from_fields(tensor: &TensorProto) -> Data {
    use data_type::*;
    match tensor.data_type {
        FLOAT => Data::Float(tensor.float_data.as_slice().into()),
        DOUBLE => Data::Float(tensor.double_data.iter().map(|&x| x as f32).collect()),
        FLOAT16 => Data::Float(tensor.int32_data.iter().map(|&x| half(x as u16)).collect()),
        BFLOAT16 => Data::Float(tensor.int32_data.iter().map(|&x| brain(x as u16)).collect()),
        STRING => Data::Text(tensor.string_data.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()),
        INT64 => Data::Int(tensor.int64_data.as_slice().into()),
        UINT32 | UINT64 => Data::Int(tensor.uint64_data.iter().map(|&x| saturate(x)).collect()),
        BOOL => Data::Int(tensor.int32_data.iter().map(|&x| i64::from(x != 0)).collect()),
        _ => Data::Int(tensor.int32_data.iter().map(|&x| x.into()).collect()),
    }
}

fn saturate(x: u64) -> i64 {
    i64::try_from(x).unwrap_or(i64::MAX)
}

/// IEEE 754 half precision.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The upper half of single precision.
fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// `expected` bytes from another file of the model's folder.
fn read_external(tensor: &TensorProto, expected: usize, directory: Option<&Path>) -> Result<Vec<u8>, Problem> {
    let get = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let number = |key: &str| match get(key) {
        None | Some("") => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(fault(format!("its external data has the {key} `{text}`, which is not a number of bytes"))),
        },
    };
    let location = get("location").unwrap_or_default();
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let Some(directory) = directory else {
        return Err(fault(format!("its data lies in another file, `{location}`"))
            .help("load the model from its path, or save it with its weights inside"));
    };
    let escapes = || {
        fault(format!("its data lies in `{location}`, outside the model's folder"))
            .help("put the data file beside the model, or save the model with its weights inside")
    };
    let relative = Path::new(location);
    if location.is_empty() || !relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(escapes());
    }
    let path = directory.join(relative);
    let cannot = |e: std::io::Error| {
        fault(format!("its data in {} cannot be read: {e}", path.display())).help("put the data file beside the model")
    };
    // A link may lead outside although the name does not.
    if !path.canonicalize().map_err(cannot)?.starts_with(directory.canonicalize().map_err(cannot)?) {
        return Err(escapes());
    }
    let metadata = std::fs::metadata(&path).map_err(cannot)?;
    let size = metadata.len();
    if !metadata.is_file() {
        return Err(fault(format!("its data should lie in {}, which is not a file", path.display())));
    }
    let length = length.unwrap_or(expected as u64);
    if length != expected as u64 {
        let dims = &tensor.dims;
        return Err(fault(format!("shape {dims:?} needs {expected} bytes, its external data is {length} bytes long")));
    }
    if offset.checked_add(length).is_none_or(|end| end > size) {
        let path = path.display();
        return Err(fault(format!(
            "its data is said to be bytes {offset}.. (+{length}) of {path}, which has {size} bytes"
        ))
        .help("the data file is cut off or belongs to another model: export again"));
    }
    let mut file = std::fs::File::open(&path).map_err(cannot)?;
    file.seek(SeekFrom::Start(offset)).map_err(cannot)?;
    let mut bytes = vec![0; expected];
    file.read_exact(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision() {
        for (bits, x) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_5e-8), (0x3555, 0.333_251_95)]
        {
            assert_eq!(half(bits), x);
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
        assert_eq!(brain(0x3fc0), 1.5);
    }

    fn tensor(dims: &[i64], data_type: i32) -> TensorProto {
        TensorProto { dims: dims.to_vec(), data_type, ..TensorProto::default() }
    }

    #[test]
    fn sizes_that_lie_are_refused_before_allocation() {
        for dims in [&[1 << 40, 1 << 40][..], &[1 << 50], &[i64::MAX, 2], &[-1]] {
            assert!(read(&tensor(dims, data_type::FLOAT), None).is_err(), "{dims:?}");
        }
        let mut raw = tensor(&[3], data_type::FLOAT);
        raw.raw_data = vec![0; 8];
        assert!(read(&raw, None).unwrap_err().reason.contains("needs 12 bytes"));
    }

    #[test]
    fn external_data_stays_in_the_folder() {
        let folder = std::env::temp_dir().join(format!("tinymlp-external-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("model")).unwrap();
        std::fs::write(folder.join("model/w.bin"), 1.5f32.to_le_bytes().repeat(3)).unwrap();
        std::fs::write(folder.join("secret"), [0; 12]).unwrap();
        let directory = folder.join("model");
        let at = |location: &str, offset: &str, length: &str| {
            let mut t = tensor(&[2], data_type::FLOAT);
            t.data_location = 1;
            t.external_data = [("location", location), ("offset", offset), ("length", length)]
                .map(|(key, value)| super::super::proto::StringStringEntryProto {
                    key: key.into(),
                    value: value.into(),
                })
                .into();
            read(&t, Some(&directory))
        };
        assert_eq!(&*at("w.bin", "4", "8").unwrap().to_floats(), [1.5, 1.5]);
        assert_eq!(&*at("./w.bin", "", "").unwrap().to_floats(), [1.5, 1.5]);
        for (location, offset, length, why) in [
            ("../secret", "0", "8", "outside"),
            ("/etc/passwd", "0", "8", "outside"),
            ("", "0", "8", "outside"),
            ("w.bin", "8", "8", "which has 12 bytes"),
            ("w.bin", "18446744073709551615", "8", "which has 12 bytes"),
            ("w.bin", "0", "12", "needs 8 bytes"),
            ("w.bin", "-4", "8", "not a number"),
            ("missing", "0", "8", "cannot be read"),
            (".", "0", "8", "not a file"),
        ] {
            let problem = at(location, offset, length).unwrap_err();
            assert!(problem.reason.contains(why), "{location} {offset}: {problem}");
        }
        #[cfg(unix)]
        {
            let _ = std::os::unix::fs::symlink(folder.join("secret"), directory.join("link"));
            assert!(at("link", "0", "8").unwrap_err().reason.contains("outside"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
