//! An invite as a QR code of half blocks.
//!
//! Upper case, because the alphanumeric mode of QR codes knows no other and is the shorter one. The colours are two of the 256 that no
//! theme changes; they carry the meaning, so they are set also where colours are switched off.

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code: with none of them scanners do not find it.
const BORDER: i32 = 2;
/// White on black: a block is a light module.
const COLOURS: &str = "\x1b[38;5;231;48;5;16m";
const PLAIN: &str = "\x1b[m";

/// The rows of the code, for a terminal of this many columns and rows.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn rows(text: &str, terminal: Option<(u16, u16)>) -> Result<Vec<String>, String> {
    let Some((columns, height)) = terminal else { return Err("a QR code needs a terminal".into()) };
    let code = QrCode::encode_text(&text.to_ascii_uppercase(), QrCodeEcc::Low)
        .map_err(|error| format!("there is no QR code of this: {error}"))?;
    let wide = code.size() + 2 * BORDER;
    let high = (wide + 1) / 2;
    // One column stays free: terminals differ over a row that is exactly full. So does a row for the cursor.
    if i32::from(columns) <= wide || i32::from(height) <= high {
        return Err(format!(
            "the QR code needs a terminal of {} columns and {} rows, this has {columns} and {height}",
            wide + 1,
            high + 1
        ));
    }
    let modules = || -BORDER..code.size() + BORDER;
    let row = |y: i32| {
        let blocks = modules().map(|x| match (code.get_module(x, y), code.get_module(x, y + 1)) {
            (false, false) => '█',
            (false, true) => '▀',
            (true, false) => '▄',
            (true, true) => ' ',
        });
        format!("{COLOURS}{}{PLAIN}", blocks.collect::<String>())
    };
    Ok(modules().step_by(2).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as an invite with three addresses.
    fn invite() -> String {
        format!("p2pchat:{}", "abc7".repeat(24) + "ab")
    }

    #[test]
    fn an_invite_of_three_addresses_fits_a_usual_terminal_and_no_narrow_one() {
        let rows = rows(&invite(), Some((80, 24))).unwrap();
        let widths: Vec<_> = rows.iter().map(|row| row.chars().filter(|c| "█▀▄ ".contains(*c)).count()).collect();
        assert_eq!(widths, [37; 19]);
        let first = rows[0].trim_start_matches(COLOURS).trim_end_matches(PLAIN);
        assert_eq!(first, "█".repeat(37), "the border");
        for (terminal, says) in
            [(Some((40, 10)), "38 columns and 20 rows"), (Some((37, 24)), "this has 37"), (None, "terminal")]
        {
            let said = super::rows(&invite(), terminal).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }
}
