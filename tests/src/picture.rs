//! Pictures of a page, to be compared with one another.

use std::io::Cursor;

/// Bytes of a pixel: red, green, blue.
const PIXEL: usize = 3;

/// An eye sees two colors as two if one of their parts differs by more than this, of 255; the edges of round corners
/// are painted anew with differences below it.
const SEEN: u8 = 32;

fn differ(one: [u8; PIXEL], other: [u8; PIXEL]) -> bool {
    one.into_iter().zip(other).any(|(one, other)| one.abs_diff(other) > SEEN)
}

/// What was seen on a screen, pixel by pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    pixels: Vec<[u8; PIXEL]>,
}

/// A part of a picture, in its pixels, from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// The first column.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// The column after the last.
    pub right: usize,
    /// The row after the last.
    pub bottom: usize,
}

impl Picture {
    /// The pixels of a PNG file without transparency.
    ///
    /// # Panics
    /// If it is none.
    pub fn of_png(bytes: &[u8]) -> Self {
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let mut raw = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut raw).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        let (pixels, rest) = raw.as_chunks();
        assert!(rest.is_empty(), "{} bytes are left", rest.len());
        let width = usize::try_from(info.width).unwrap();
        assert_eq!(pixels.len(), width * usize::try_from(info.height).unwrap());
        Self { width, pixels: pixels.to_vec() }
    }

    /// The columns and rows.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.pixels.len() / self.width)
    }

    /// The pixels of an area, row by row.
    ///
    /// # Panics
    /// If the area reaches beyond the picture.
    pub fn part(&self, area: Area) -> Vec<[u8; PIXEL]> {
        let row = |row: usize| &self.pixels[row * self.width + area.left..row * self.width + area.right];
        assert!(area.right <= self.width, "{area:?} of {:?}", self.size());
        (area.top..area.bottom).flat_map(row).copied().collect()
    }

    /// How many pixels of an area are seen to differ between two pictures.
    ///
    /// # Panics
    /// If the area reaches beyond one of them.
    pub fn differences_in(&self, other: &Self, area: Area) -> usize {
        self.part(area).into_iter().zip(other.part(area)).filter(|&(one, other)| differ(one, other)).count()
    }

    /// How many pixels are seen to differ between two pictures of one size.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn differences(&self, other: &Self) -> usize {
        assert_eq!(self.size(), other.size(), "pictures of two sizes");
        self.pixels.iter().zip(&other.pixels).filter(|&(&one, &other)| differ(one, other)).count()
    }
}
