use std::{fmt::Write as _, fs};

use crate::{
    arguments::Arguments,
    load::as_float,
    operation::Operation,
    report::{directory, label},
    samples::Samples,
};

const BAR: usize = 16;
const LEFT: usize = 190;
/// The width of a rate that equals the yardstick.
const UNIT: f64 = 400.0;
/// The largest ratio that the chart has space for.
const MAX_RATIO: f64 = 2.5;
const COLORS: [&str; 4] = ["#4472c4", "#ed7d31", "#70ad47", "#7f7f7f"];

/// Writes a chart of the rates relative to the yardstick, with a mark at each target.
pub(crate) fn write(samples: &Samples, arguments: &Arguments) {
    let (mut bars, mut y) = (String::new(), 40);
    for operation in Operation::ALL {
        let mut is_empty = true;
        for users in &arguments.users {
            for server in 0..arguments.server.len().max(1) {
                if let Some(ratio) = samples.ratio(server, operation, *users) {
                    let name = format!("{}, {}, {users}", operation.name(), label(server));
                    bar(&mut bars, y, &name, ratio, server);
                    if let Some(target) = operation.target().filter(|_| *users > 1) {
                        mark(&mut bars, y, target);
                    }
                    y += BAR + 4;
                    is_empty = false;
                }
            }
        }
        y += if is_empty { 0 } else { BAR };
    }
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1300\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">Operations per second relative to hand-written SQL, \
         by server and users; marks are targets</text>\n{bars}</svg>\n"
    );
    fs::write(directory().join("load.svg"), svg).unwrap();
}

fn bar(svg: &mut String, y: usize, name: &str, ratio: f64, server: usize) {
    let width = ratio.min(MAX_RATIO) * UNIT;
    let color = COLORS.get(server % COLORS.len()).unwrap();
    let text_y = y + BAR - 4;
    let end = as_float(LEFT) + width + 6.0;
    writeln!(
        svg,
        "<text x=\"10\" y=\"{text_y}\">{name}</text>\
         <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\
         <text x=\"{end:.1}\" y=\"{text_y}\">{ratio:.2}</text>"
    )
    .unwrap();
}

fn mark(svg: &mut String, y: usize, target: f64) {
    let x = as_float(LEFT) + target * UNIT;
    writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y}\" width=\"2\" height=\"{BAR}\" fill=\"black\"/>"
    )
    .unwrap();
}
