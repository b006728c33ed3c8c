//! Components made to keep a compiler busy or to fill its memory: very many of something, or something
//! very large or deep. Knows no loader.

use fastrand::Rng;
use wasm_encoder::{
    BlockType, CodeSection, Component, ComponentTypeSection, ConstExpr, CustomSection, DataSection,
    EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection, MemorySection,
    MemoryType, Module, ModuleSection, NestedComponentSection, PrimitiveValType, RefType,
    TableSection, TableType, TypeSection, ValType,
};

/// How large bombs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A thousandth of what they can be.
    Small,
    /// From there to what is refused unread.
    Any,
}

/// A kind of bomb, made of so many parts.
type Make = fn(u32) -> Vec<u8>;

/// All of them: their name, how they are made, and the most parts that they have.
pub const ALL: [(&str, Make, u32); 21] = [
    ("functions", |n| code(n, |_| vec![]), 999_000),
    ("functions-of-some-length", |n| code(n, |_| vec![Step::Sums(30)]), 200_000),
    ("long-function", |n| code(1, |_| vec![Step::Sums(n)]), 1_200_000),
    ("long-functions", |n| code(8, |_| vec![Step::Sums(n)]), 1_000_000),
    ("blocks", |n| code(1, |_| vec![Step::Blocks(n)]), 1_900_000),
    ("loops", |n| code(4, |_| vec![Step::Loops(n)]), 400_000),
    ("branches", |n| code(4, |_| vec![Step::Ifs(n)]), 500_000),
    ("branch-tables", |n| code(n, |_| vec![Step::Table(60_000)]), 100),
    ("locals", |n| code(n, |_| vec![Step::Locals(49_000)]), 20_000),
    ("calls", |n| code(8, |_| vec![Step::Calls(n)]), 1_000_000),
    ("block-values", |n| values(n), 3_000),
    ("types", |n| types(n), 900_000),
    ("imports", |n| imports(n), 90_000),
    ("exports", |n| exports(n), 90_000),
    ("data", |n| data(n), 60 << 20),
    ("memories", |n| memories(n), 100),
    ("tables", |n| tables(n), 100),
    ("modules", |n| modules(n), 900),
    ("nested-components", |n| nested(n), 2_000),
    ("nested-types", |n| nested_types(n), 1_000),
    ("custom", |n| custom(n), 60 << 20),
];

/// Draws one.
#[must_use]
pub fn draw(rng: &mut Rng, scale: Scale) -> (&'static str, Vec<u8>) {
    let (name, make, most) = ALL[rng.usize(..ALL.len())];
    let part = match scale {
        Scale::Small => most.div_ceil(1000),
        // As often a tenth of it as all of it.
        Scale::Any => (f64::from(most) * 10_f64.powf(-3.0 * rng.f64())) as u32,
    };
    (name, make(part.max(1)))
}

/// What a function consists of.
enum Step {
    /// Additions and loads that each need the one before.
    Sums(u32),
    Blocks(u32),
    Loops(u32),
    Ifs(u32),
    Table(u32),
    Locals(u32),
    Calls(u32),
}

impl Step {
    fn write(&self, function: &mut Function) {
        let mut code = function.instructions();
        match *self {
            Self::Sums(count) => {
                code.local_get(0);
                for step in 0..count {
                    let at = wasm_encoder::MemArg { offset: 0, align: 2, memory_index: 0 };
                    code.i32_load(at).i32_const((step % 64) as i32).i32_add();
                }
                code.drop();
            }
            Self::Blocks(depth) => {
                for _ in 0..depth {
                    code.block(BlockType::Empty);
                }
                for _ in 0..depth {
                    code.end();
                }
            }
            Self::Loops(depth) => {
                for _ in 0..depth {
                    code.loop_(BlockType::Empty);
                }
                for _ in 0..depth {
                    code.local_get(0).br_if(0).end();
                }
            }
            Self::Ifs(count) => {
                for _ in 0..count {
                    code.local_get(0).if_(BlockType::Empty).i32_const(1).local_set(0).else_().end();
                }
            }
            Self::Table(targets) => {
                let targets: Vec<u32> = (0..targets).map(|target| target % 2).collect();
                code.block(BlockType::Empty).local_get(0).br_table(targets, 0).end();
            }
            Self::Locals(count) => {
                for local in (1..count).step_by(100) {
                    code.local_get(0).local_set(local);
                }
            }
            Self::Calls(count) => {
                for _ in 0..count {
                    code.local_get(0).call(0);
                }
            }
        }
    }
}

/// A component around a module of so many functions.
fn code(count: u32, steps: impl Fn(u32) -> Vec<Step>) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], []);
    module.section(&types);
    let mut functions = FunctionSection::new();
    for _ in 0..count {
        functions.function(0);
    }
    module.section(&functions);
    module.section(&memory());
    let mut code = CodeSection::new();
    for number in 0..count {
        let steps = steps(number);
        let locals =
            steps.iter().map(|step| if let Step::Locals(locals) = step { *locals } else { 1 });
        let mut function = Function::new([(locals.sum(), ValType::I32)]);
        steps.iter().for_each(|step| step.write(&mut function));
        function.instructions().end();
        code.function(&function);
    }
    module.section(&code);
    around(&module)
}

/// Blocks that hand on a thousand values each.
fn values(depth: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function(vec![ValType::I32; 900], vec![ValType::I32; 900]);
    module.section(&types);
    let mut functions = FunctionSection::new();
    functions.function(0);
    module.section(&functions);
    let mut function = Function::new([]);
    let mut steps = function.instructions();
    for value in 0..900 {
        steps.i32_const(value);
    }
    for _ in 0..depth {
        steps.block(BlockType::FunctionType(1)).i32_const(1).br_if(0).end();
    }
    for _ in 0..900 {
        steps.drop();
    }
    steps.end();
    let mut code = CodeSection::new();
    code.function(&function);
    module.section(&code);
    around(&module)
}

fn memory() -> MemorySection {
    let mut memories = MemorySection::new();
    memories.memory(memory_type(1));
    memories
}

fn memory_type(pages: u64) -> MemoryType {
    MemoryType {
        minimum: pages,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}

fn types(count: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    for number in 0..count {
        // Each is another one.
        let bit = |bit: u32| if number >> bit & 1 == 0 { ValType::I32 } else { ValType::I64 };
        types.ty().function((0..20).map(bit), []);
    }
    module.section(&types);
    around(&module)
}

fn imports(count: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    module.section(&types);
    let mut imports = ImportSection::new();
    (0..count).for_each(|number| {
        imports.import("stranger", &format!("function-{number}"), EntityType::Function(0));
    });
    module.section(&imports);
    around(&module)
}

fn exports(count: u32) -> Vec<u8> {
    let mut module = Module::new();
    module.section(&memory());
    let mut exports = ExportSection::new();
    (0..count).for_each(|number| {
        exports.export(&format!("{number}-{}", "long".repeat(100)), ExportKind::Memory, 0);
    });
    module.section(&exports);
    around(&module)
}

fn data(bytes: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut memories = MemorySection::new();
    memories.memory(memory_type(1 << 16));
    module.section(&memories);
    let mut data = DataSection::new();
    // In two places far apart, between which an image of memory would be zero.
    data.active(0, &ConstExpr::i32_const(0), vec![1; bytes as usize / 2]);
    data.active(0, &ConstExpr::i32_const(0x7000_0000), vec![1; bytes as usize / 2]);
    module.section(&data);
    around(&module)
}

fn memories(count: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut memories = MemorySection::new();
    for _ in 0..count {
        memories.memory(memory_type(1 << 16));
    }
    module.section(&memories);
    around(&module)
}

fn tables(count: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut tables = TableSection::new();
    for _ in 0..count {
        let (element_type, minimum) = (RefType::FUNCREF, 10_000_000);
        tables.table(TableType {
            element_type,
            minimum,
            maximum: None,
            table64: false,
            shared: false,
        });
    }
    module.section(&tables);
    around(&module)
}

fn modules(count: u32) -> Vec<u8> {
    let mut component = Component::new();
    let mut module = Module::new();
    module.section(&memory());
    for _ in 0..count {
        component.section(&ModuleSection(&module));
    }
    component.finish()
}

fn nested(depth: u32) -> Vec<u8> {
    (0..depth)
        .fold(Component::new(), |inner, _| {
            let mut outer = Component::new();
            outer.section(&NestedComponentSection(&inner));
            outer
        })
        .finish()
}

/// Each type holds the one before twice: its size doubles with each.
fn nested_types(depth: u32) -> Vec<u8> {
    let mut component = Component::new();
    let mut types = ComponentTypeSection::new();
    types.defined_type().primitive(PrimitiveValType::U8);
    for number in 0..depth {
        let inner = wasm_encoder::ComponentValType::Type(number);
        types.defined_type().tuple([inner, inner]);
    }
    component.section(&types);
    component.finish()
}

fn custom(bytes: u32) -> Vec<u8> {
    let mut component = Component::new();
    let data = vec![1; bytes as usize];
    component.section(&CustomSection { name: "large".into(), data: data.into() });
    component.finish()
}

fn around(module: &Module) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&ModuleSection(module));
    component.finish()
}
