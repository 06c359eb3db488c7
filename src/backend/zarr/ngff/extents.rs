//! Leading axes of an image: time, channel, depth, in the order that OME-NGFF demands.

/// How far an image reaches along its leading axes. Images always have a channel axis, and labels none; the others are
/// there only where they mean something, because each costs a directory for every plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extents {
    /// Time points.
    pub time: Option<u64>,
    /// Channels, each of as many samples as a pixel has. None: pixels are labels, which viewers hold against each channel.
    pub channels: Option<u64>,
    /// Focal planes.
    pub depth: Option<u64>,
}

/// A plane in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PlaneAt {
    /// Time point.
    pub time: u64,
    /// Channel.
    pub channel: u64,
    /// Focal plane.
    pub depth: u64,
}

impl Extents {
    /// The smallest that has the axes of `self` and reaches `plane`.
    pub fn reaching(self, plane: PlaneAt) -> Extents {
        Extents {
            time: self.time.map(|n| n.max(plane.time + 1)),
            channels: self.channels.map(|n| n.max(plane.channel + 1)),
            depth: self.depth.map(|n| n.max(plane.depth + 1)),
        }
    }

    /// Names of all axes.
    pub fn axes(self) -> Vec<&'static str> {
        self.with("c", self.time.map(|_| "t"), self.depth.map(|_| "z"), ["y", "x"])
    }

    /// Shape of an array of `height` × `width` pixels with `samples` samples.
    pub fn shape(self, samples: u64, height: u64, width: u64) -> Vec<u64> {
        self.with(self.channels.unwrap_or(1) * samples, self.time, self.depth, [height, width])
    }

    /// Shape of a chunk: one plane, all its samples.
    pub fn chunk_shape(self, samples: u64, height: u64, width: u64) -> Vec<u64> {
        self.with(samples, self.time.map(|_| 1), self.depth.map(|_| 1), [height, width])
    }

    /// Index of the chunk in band `row` and tile `column` of a plane.
    pub fn chunk_index(self, plane: PlaneAt, row: u64, column: u64) -> Vec<u64> {
        self.with(plane.channel, self.time.map(|_| plane.time), self.depth.map(|_| plane.depth), [row, column])
    }

    /// One value an axis, in the order of the axes; those of axes that are not there are left out.
    pub fn with<T>(self, channel: T, time: Option<T>, depth: Option<T>, plane: [T; 2]) -> Vec<T> {
        time.into_iter().chain(self.channels.map(|_| channel)).chain(depth).chain(plane).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_come_in_the_order_time_channel_space() {
        let all = Extents { time: Some(3), channels: Some(2), depth: Some(5) };
        assert_eq!(all.axes(), ["t", "c", "z", "y", "x"]);
        assert_eq!(all.shape(1, 7, 9), [3, 2, 5, 7, 9]);
        assert_eq!(all.chunk_index(PlaneAt { time: 2, channel: 1, depth: 4 }, 6, 8), [2, 1, 4, 6, 8]);
        let plain = Extents { time: None, channels: Some(2), depth: None };
        assert_eq!(plain.axes(), ["c", "y", "x"]);
        let labels = Extents { channels: None, ..all };
        assert_eq!((labels.axes(), labels.shape(1, 7, 9)), (vec!["t", "z", "y", "x"], vec![3, 5, 7, 9]));
        assert_eq!((plain.shape(3, 7, 9), plain.chunk_shape(3, 7, 9)), (vec![6, 7, 9], vec![3, 7, 9]));
    }
}
