//! The chart: a bar per way and broker, on a scale on which each line is ten times the one before.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::measured::{Measured, shown};
use crate::tables::{WAYS, embedded, on_kafka};

const WIDTH: i32 = 900;
const LEFT: i32 = 330;
const RIGHT: i32 = 70;
const TOP: i32 = 74;
const ROW: i32 = 46;
const BAR: i32 = 15;
const BOTTOM: i32 = 62;

/// The scale, in milliseconds.
const FROM: f64 = 0.1;
const TO: f64 = 10_000.0;

fn x(milliseconds: f64) -> i32 {
    let part = (milliseconds.max(FROM) / FROM).log10() / (TO / FROM).log10();
    LEFT + (part * f64::from(WIDTH - LEFT - RIGHT)) as i32
}

pub fn cases(measured: &Measured, path: &Path) {
    let height = TOP + ROW * WAYS.len() as i32 + BOTTOM;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    // A ground of its own: a page may be dark.
    area.fill(&WHITE).unwrap();
    let font = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    let at = |size, h, v| font(size).pos(Pos::new(h, v));
    let write = |text: &str, style: TextStyle, x, y| area.draw(&Text::new(text.to_owned(), (x, y), style)).unwrap();

    write(
        "One test case, by how it gets its Kafka",
        at(20, HPos::Left, VPos::Top).transform(FontTransform::None),
        16,
        12,
    );
    write(
        "median, in milliseconds; each vertical line is ten times the one before",
        at(13, HPos::Left, VPos::Top),
        16,
        38,
    );
    legend(&area, WIDTH - 300, 18);

    let bottom = TOP + ROW * WAYS.len() as i32;
    let mut tick = FROM;
    while tick <= TO * 1.001 {
        let line = PathElement::new(vec![(x(tick), TOP), (x(tick), bottom)], RGBColor(200, 200, 200).stroke_width(1));
        area.draw(&line).unwrap();
        let label = if tick < 1_000.0 { format!("{tick} ms") } else { format!("{} s", tick / 1_000.0) };
        write(&label, at(12, HPos::Center, VPos::Top), x(tick), bottom + 6);
        tick *= 10.0;
    }
    for (n, (way, label)) in WAYS.iter().enumerate() {
        let (top, is_ours) = (TOP + ROW * n as i32, *way == "reused");
        let middle = top + ROW / 2;
        let label = label.replace(['*', '`'], "");
        let style = at(13, HPos::Right, VPos::Center);
        let style = if is_ours { bold(style) } else { style };
        write(&label, style, LEFT - 10, middle);
        for (value, y, is_solid) in
            [(on_kafka(measured, way), middle - BAR - 1, true), (embedded(measured, way), middle + 1, false)]
        {
            let Some(value) = value else {
                write("not measured", at(11, HPos::Left, VPos::Center), LEFT + 6, y + BAR / 2);
                continue;
            };
            bar(&area, y, x(value), is_solid);
            let style = at(12, HPos::Left, VPos::Center);
            let style = if is_ours { bold(style) } else { style };
            write(&shown(Some(value)), style, x(value) + 6, y + BAR / 2);
        }
    }
    let axis = PathElement::new(vec![(LEFT, TOP), (LEFT, bottom)], BLACK.stroke_width(1));
    area.draw(&axis).unwrap();
    let mut y = bottom + 26;
    for line in folded(&measured.circumstances(), 140) {
        write(&line, at(11, HPos::Left, VPos::Top), 16, y);
        y += 14;
    }
    area.present().unwrap();
}

fn bold(style: TextStyle<'_>) -> TextStyle<'_> {
    TextStyle { font: style.font.style(FontStyle::Bold), ..style }
}

/// Told apart without colour: one is dark, the other is white with a dark edge.
fn bar(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, y: i32, end: i32, is_solid: bool) {
    rectangle(area, LEFT, y, end, y + BAR, is_solid);
}

fn rectangle(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
    is_solid: bool,
) {
    let dark = RGBColor(40, 60, 90);
    let inside = if is_solid { dark } else { WHITE };
    area.draw(&Rectangle::new([(left, top), (right, bottom)], inside.filled())).unwrap();
    area.draw(&Rectangle::new([(left, top), (right, bottom)], dark.stroke_width(1))).unwrap();
}

fn legend(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, left: i32, top: i32) {
    for (n, (label, is_solid)) in [("Apache Kafka", true), ("embedded broker", false)].into_iter().enumerate() {
        let left = left + 140 * n as i32;
        rectangle(area, left, top, left + 22, top + 12, is_solid);
        let style = ("sans-serif", 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(label, (left + 28, top + 6), style)).unwrap();
    }
}

/// Lines of at most so many characters.
fn folded(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > most {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}
