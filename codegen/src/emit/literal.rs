//! Constant expressions, laid out as rustfmt lays them out (width 100, its default heuristics).

use crate::plan::kernels::{Constant, Field, Fields, Limits};

const WIDTH: usize = 100;
/// rustfmt's `array_width` and `fn_call_width`.
const SHORT: usize = 60;
/// rustfmt's `struct_lit_width`.
const SHORT_STRUCT: usize = 18;
/// rustfmt's `short_array_element_width_threshold`.
const SHORT_ELEMENT: usize = 10;

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    /// A number, string or path.
    Atom(String),
    /// `[a, b]`.
    Array(Vec<Literal>),
    /// `Name { field: value }`.
    Struct(String, Vec<(String, Literal)>),
    /// `name(a, b)`.
    Call(String, Vec<Literal>),
    /// The bytes of a file beside the module, as the constant's type.
    Include(String),
    /// The bytes of such a file as they are.
    IncludeBytes(String),
}

impl Literal {
    fn line(&self) -> String {
        let join = |items: &[Literal]| items.iter().map(Literal::line).collect::<Vec<_>>().join(", ");
        match self {
            Literal::Atom(text) => text.clone(),
            Literal::Array(items) => format!("[{}]", join(items)),
            Literal::Struct(name, fields) => {
                let fields: Vec<_> = fields.iter().map(|(f, v)| format!("{f}: {}", v.line())).collect();
                format!("{name} {{ {} }}", fields.join(", "))
            }
            Literal::Call(name, items) => format!("{name}({})", join(items)),
            Literal::IncludeBytes(file) => format!("*include_bytes!(\"{file}\")"),
            Literal::Include(file) => format!("tinymlp::bytes(include_bytes!(\"{file}\"))"),
        }
    }

    fn fits_a_line(&self) -> bool {
        match self {
            Literal::Atom(_) | Literal::IncludeBytes(_) => true,
            Literal::Include(_) => self.line().len() - "tinymlp::bytes()".len() <= SHORT,
            // The sums are of the elements and what separates them, without the brackets.
            Literal::Array(items) => items.iter().all(Literal::fits_a_line) && self.line().len() - 2 <= SHORT,
            Literal::Struct(name, fields) => {
                fields.iter().all(|(_, v)| v.fits_a_line()) && self.line().len() - name.len() - 5 <= SHORT_STRUCT
            }
            Literal::Call(name, items) => {
                items.iter().all(Literal::fits_a_line) && self.line().len() - name.len() - 2 <= SHORT
            }
        }
    }

    /// The text from column `column` of a line indented by `indent`, with `after` columns to follow.
    pub(super) fn layout(&self, indent: usize, column: usize, after: usize) -> String {
        // Cheap refusal before a long line is built: every element takes three columns.
        let many = |n: usize| n * 3 > 2 * WIDTH;
        let long = match self {
            Literal::Atom(_) | Literal::Include(_) | Literal::IncludeBytes(_) => false,
            Literal::Array(items) | Literal::Call(_, items) => many(items.len()),
            Literal::Struct(_, fields) => many(fields.len()),
        };
        if !long && self.fits_a_line() {
            let line = self.line();
            if column + line.len() + after <= WIDTH {
                return line;
            }
        }
        let inner = indent + 4;
        let pad = " ".repeat(inner);
        let mut text = String::new();
        let close = match self {
            Literal::Atom(line) => return line.clone(),
            Literal::IncludeBytes(_) => return self.line(),
            Literal::Include(file) => {
                text.push_str(&format!("tinymlp::bytes(include_bytes!(\n{pad}\"{file}\"\n"));
                "))"
            }
            // A lone struct begins on the line of its bracket.
            Literal::Array(items) if matches!(items[..], [Literal::Struct(..)]) => {
                return format!("[{}]", items[0].layout(indent, column + 1, after + 1));
            }
            // So does a lone file in a call, if the line has room for the macro's name.
            Literal::Call(name, items)
                if matches!(items[..], [Literal::IncludeBytes(_)])
                    && column + name.len() + "(*include_bytes!(".len() <= WIDTH =>
            {
                let line = items[0].line();
                let file = line.trim_start_matches("*include_bytes!(").trim_end_matches(')');
                return format!("{name}(*include_bytes!(\n{pad}{file}\n{}))", " ".repeat(indent));
            }
            // So does a lone array in a call.
            Literal::Call(name, items) if matches!(items[..], [Literal::Array(..)]) => {
                return format!("{name}({})", items[0].layout(indent, WIDTH, after + 1));
            }
            Literal::Array(items) => {
                text.push_str("[\n");
                let lines: Vec<String> = items.iter().map(|i| i.layout(inner, inner, 1)).collect();
                // Arrays in arrays have a line each, however short they are.
                let simple = items.iter().all(|i| matches!(i, Literal::Atom(_)));
                if simple && lines.iter().all(|l| l.len() <= SHORT_ELEMENT) {
                    fill(&lines, inner, &mut text);
                } else {
                    for line in &lines {
                        text.push_str(&format!("{pad}{line},\n"));
                    }
                }
                "]"
            }
            Literal::Struct(name, fields) => {
                text.push_str(&format!("{name} {{\n"));
                for (field, value) in fields {
                    let value = value.layout(inner, inner + field.len() + 2, 1);
                    text.push_str(&format!("{pad}{field}: {value},\n"));
                }
                "}"
            }
            Literal::Call(name, items) => {
                text.push_str(&format!("{name}(\n"));
                for item in items {
                    text.push_str(&format!("{pad}{},\n", item.layout(inner, inner, 1)));
                }
                ")"
            }
        };
        text.push_str(&" ".repeat(indent));
        text.push_str(close);
        text
    }
}

/// As many elements a line as fit.
fn fill(items: &[String], indent: usize, text: &mut String) {
    let (mut column, mut wrapped) = (0, false);
    for (k, item) in items.iter().enumerate() {
        // One column less than elsewhere: rustfmt reserves it for the separator, if there is more than one line.
        let width = if k + 1 == items.len() && !wrapped { WIDTH } else { WIDTH - 1 };
        if column > 0 && column + 1 + item.len() + 1 > width {
            text.push('\n');
            (column, wrapped) = (0, true);
        }
        if column == 0 {
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(item);
        text.push(',');
        column += item.len() + 1;
        if k + 1 == items.len() {
            text.push('\n');
        }
    }
}

/// `head = value;` and an end of line.
pub(super) fn item(head: &str, value: &Literal) -> String {
    // A type that does not fit the line is broken first.
    if let (true, Some((before, parameters))) =
        (head.len() + 2 > WIDTH, head.strip_suffix('>').and_then(|head| head.split_once('<')))
    {
        let lines: String = parameters.split(", ").map(|parameter| format!("    {parameter},\n")).collect();
        return format!("{before}<\n{lines}> = {};\n", value.layout(0, 4, 1));
    }
    let text = value.layout(0, head.len() + 3, 1);
    let first = text.lines().next().unwrap_or_default().len();
    let on_next = value.layout(4, 4, 1);
    // A call moves to the next line where that saves it from being broken.
    let broken_call = matches!(value, Literal::Call(..)) && text.contains('\n') && !on_next.contains('\n');
    // rustfmt counts the end of the statement, but not for a call that is broken, unless between the brackets of an array:
    // then it counts the parenthesis too.
    let end = match value {
        Literal::Call(_, items) if text.contains('\n') => {
            if matches!(items[..], [Literal::Array(..)]) {
                2
            } else {
                0
            }
        }
        _ => 1,
    };
    if head.len() + 3 + first + end > WIDTH || broken_call {
        let text = on_next;
        return format!("{head} =\n    {text};\n");
    }
    format!("{head} = {text};\n")
}

/// A call as a statement of a function's body.
pub(super) fn statement(path: &str, arguments: &[&str]) -> String {
    let arguments = arguments.iter().map(|a| Literal::Atom((*a).to_owned())).collect();
    format!("    {};\n", Literal::Call(path.to_owned(), arguments).layout(4, 4, 1))
}

/// The head of a public function, up to its opening brace.
pub(super) fn signature(name: &str, parameters: &[String], result: &str) -> String {
    let line = format!("pub fn {name}({}) -> {result} {{\n", parameters.join(", "));
    if line.len() <= WIDTH + 1 {
        return line;
    }
    let parameters: String = parameters.iter().map(|p| format!("    {p},\n")).collect();
    format!("pub fn {name}(\n{parameters}) -> {result} {{\n")
}

/// The head of a function without a result, up to the end of the line of its opening brace.
pub(super) fn function(name: &str, parameters: &[String]) -> String {
    let line = format!("fn {name}({}) {{\n", parameters.join(", "));
    if line.len() <= WIDTH + 1 {
        return line;
    }
    let parameters: String = parameters.iter().map(|p| format!("    {p},\n")).collect();
    format!("fn {name}(\n{parameters}) {{\n")
}

/// The text four columns further in.
pub(super) fn indented(text: &str) -> String {
    text.lines().map(|l| if l.is_empty() { "\n".into() } else { format!("    {l}\n") }).collect()
}

/// Given a field's name, the width of its elements and the elements: may take an array away and name the file it is in.
pub(super) type External<'a> = &'a mut dyn FnMut(&str, usize, &[i32]) -> Option<String>;

/// A kernel's constant.
pub(super) fn constant(module: &str, constant: &Constant, external: External<'_>) -> Literal {
    let name = constant.ty.split('<').next().unwrap_or_default();
    let path = format!("{module}::{name}");
    match &constant.fields {
        Fields::Unit | Fields::Function => Literal::Atom(path),
        Fields::New(fields) => {
            let items = fields.iter().map(|(n, f)| field(n, f, external)).collect();
            Literal::Call(format!("{path}::new"), items)
        }
        Fields::ProgramMemory(array) => {
            let array = field("stream", array, external);
            Literal::Call(format!("{path}::new"), vec![array])
        }
        Fields::Named(fields) => {
            let fields = fields.iter().map(|(n, f)| ((*n).to_owned(), field(n, f, external))).collect();
            Literal::Struct(path, fields)
        }
    }
}

/// One field of a constant, or an array of its own.
pub(super) fn field(name: &str, field: &Field, external: External<'_>) -> Literal {
    match field {
        Field::Integer(v) => Literal::Atom(v.to_string()),
        Field::Bool(v) => Literal::Atom(v.to_string()),
        Field::Limits(Limits { zero_point, min, max, .. }) => {
            let number = |n: &str, v: &i32| (n.to_owned(), Literal::Atom(v.to_string()));
            Literal::Struct(
                "Clamp".into(),
                vec![number("zero_point", zero_point), number("min", min), number("max", max)],
            )
        }
        Field::Array { element: "u8", width, values, extents }
            if extents.len() == 1
                && let Some(file) = external(name, *width, values) =>
        {
            Literal::IncludeBytes(file)
        }
        Field::Array { element, extents, values, width } => match external(name, *width, values) {
            Some(file) => Literal::Include(file),
            None => array(element, extents, values),
        },
    }
}

fn array(element: &str, extents: &[usize], values: &[i32]) -> Literal {
    // Packed words mean nothing as numbers.
    let number = |v: &i32| if element == "u32" { format!("{v:#010x}") } else { v.to_string() };
    match extents {
        [] | [_] => Literal::Array(values.iter().map(|v| Literal::Atom(number(v))).collect()),
        [_, inner @ ..] => {
            let size = inner.iter().product::<usize>().max(1);
            Literal::Array(values.chunks(size).map(|v| array(element, inner, v)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rustfmt makes of it.
    #[test]
    fn short_arrays_in_arrays() {
        let values: Vec<i32> = (0..26).collect();
        let pairs = item("static A: [[i8; 2]; 13]", &array("i8", &[13, 2], &values));
        let lines: String = values.chunks(2).map(|v| format!("    [{}, {}],\n", v[0], v[1])).collect();
        assert_eq!(pairs, format!("static A: [[i8; 2]; 13] = [\n{lines}];\n"));
    }

    /// What rustfmt makes of it.
    #[test]
    fn arrays_in_calls() {
        let call = |name: &str| {
            let call = Literal::Call("avr::Gemm::new".into(), vec![array("u8", &[100], &[7; 100])]);
            item(&format!("static {name}: avr::Gemm<32, 16, 592, 0x17f80f07012>"), &call)
        };
        let first = |text: &str| text.lines().next().map(str::to_owned).unwrap_or_default();
        let fits = first(&call(&"A".repeat(33)));
        assert!(fits.len() == 98 && fits.ends_with(" = avr::Gemm::new(["), "{fits}");
        assert!(call(&"A".repeat(34)).contains(" =\n    avr::Gemm::new([\n        7, 7,"));
    }

    /// What rustfmt makes of it.
    #[test]
    fn files_in_calls() {
        let ty = "avr::Gemm<32, 10, 370, 0x17f80207053>";
        let long = "net.l_output_gemm_which_is_longer.stream.bin";
        let text = |name: &str, file: &str| {
            let call = Literal::Call("avr::Gemm::new".into(), vec![Literal::IncludeBytes(file.into())]);
            item(&format!("static {name}: {ty}"), &call)
        };
        let short = text("L_OUTPUT", "net.l_output.bin");
        assert_eq!(
            short,
            format!("static L_OUTPUT: {ty} =\n    avr::Gemm::new(*include_bytes!(\"net.l_output.bin\"));\n")
        );
        let broken = text("L_OUTPUT", long);
        let expected = format!("static L_OUTPUT: {ty} = avr::Gemm::new(*include_bytes!(\n    \"{long}\"\n));\n");
        assert_eq!(broken, expected);
        let name = "L_OUTPUT_GEMM_LONGER_MUCH_AND_MORE";
        let expected = format!("static {name}: {ty} = avr::Gemm::new(\n    *include_bytes!(\"{long}\"),\n);\n");
        assert_eq!(text(name, long), expected);
    }
}
