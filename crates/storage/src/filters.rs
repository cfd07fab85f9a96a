/// Adds those of the conditions to a boxed query whose operand is `Some`.
macro_rules! filter_some {
    ($query:ident, $($($column:ident)::+.$operator:ident($operand:expr)),+ $(,)?) => {
        $(if let Some(operand) = $operand {
            $query = $query.filter($($column)::+.$operator(operand));
        })+
    };
}

pub(crate) use filter_some;
