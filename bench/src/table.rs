//! Tables as Markdown has them, aligned also for the terminal.

use std::fmt::Write;

pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<S: ToString>(head: &[S]) -> Table {
        Table { rows: vec![head.iter().map(S::to_string).collect()] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.rows[0].len());
        self.rows.push(cells);
    }

    pub fn render(&self) -> String {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => _ = write!(text, "| {cell:<width$} |"),
                    _ => _ = write!(text, " {cell:>width$} |"),
                }
            }
            text.push('\n');
            if number == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let line = "-".repeat(width);
                    text += &if column == 0 { format!("|-{line}-|") } else { format!("-{line}:|") };
                }
                text.push('\n');
            }
        }
        text
    }
}

/// A number with so many digits behind the point; `-` if there is none.
pub fn digits(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_markdown() {
        let mut table = Table::new(&["peer", "us"]);
        table.row(vec!["a".to_owned(), digits(1.5, 2)]);
        table.row(vec!["longer".to_owned(), digits(f64::NAN, 2)]);
        assert_eq!(
            table.render(),
            "| peer   |   us |\n|--------|-----:|\n| a      | 1.50 |\n| longer |    - |\n"
        );
    }
}
