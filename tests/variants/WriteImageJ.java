import ij.IJ;
import ij.ImagePlus;
import ij.ImageStack;
import ij.gui.Overlay;
import ij.gui.Roi;
import ij.io.FileSaver;
import ij.process.*;

/** Writes one TIFF of each kind that ImageJ knows into the directory that is its argument. */
class WriteImageJ {
    static final int W = 83, H = 60;

    static ImageProcessor grey(int bits, int seed) {
        ImageProcessor p = bits == 8 ? new ByteProcessor(W, H) : bits == 16 ? new ShortProcessor(W, H) : new FloatProcessor(W, H);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) p.setf(x, y, (x * 7 + y * 13 + seed * 31 + (x * y) % 17) % (bits == 8 ? 256 : 4096));
        return p;
    }

    static ImageProcessor colour(int seed) {
        ColorProcessor p = new ColorProcessor(W, H);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) p.set(x, y, ((x + seed) * 3 % 256) << 16 | (y * 4 % 256) << 8 | (x * y) % 256);
        return p;
    }

    static ImagePlus stack(int count, boolean rgb) {
        ImageStack s = new ImageStack(W, H);
        for (int n = 0; n < count; n++) s.addSlice("plane " + n, rgb ? colour(n) : grey(16, n));
        return new ImagePlus("stack", s);
    }

    static void save(ImagePlus image, String folder, String name) {
        FileSaver saver = new FileSaver(image);
        String path = folder + "/" + name + ".tif";
        if (!(image.getStackSize() > 1 ? saver.saveAsTiffStack(path) : saver.saveAsTiff(path))) throw new RuntimeException(path);
    }

    public static void main(String[] words) {
        String folder = words[0];
        for (int bits : new int[] {8, 16, 32}) save(new ImagePlus("grey", grey(bits, 1)), folder, bits + "-bit");
        save(new ImagePlus("rgb", colour(1)), folder, "rgb");
        save(stack(5, false), folder, "stack");
        save(stack(3, true), folder, "rgb-stack");
        ImagePlus hyper = stack(12, false);
        hyper.setDimensions(2, 3, 2);
        hyper.setOpenAsHyperStack(true);
        save(hyper, folder, "hyperstack");
        ImagePlus calibrated = stack(4, false);
        calibrated.getCalibration().pixelWidth = calibrated.getCalibration().pixelHeight = 0.65;
        calibrated.getCalibration().pixelDepth = 2;
        calibrated.getCalibration().setUnit("um");
        calibrated.setProperty("Info", "a note\nof two lines");
        save(calibrated, folder, "calibrated");
        ImagePlus marked = new ImagePlus("marked", grey(16, 3));
        marked.setOverlay(new Overlay(new Roi(10, 10, 20, 20)));
        save(marked, folder, "overlay");
        ij.Prefs.intelByteOrder = true;
        save(stack(3, false), folder, "little-endian");
        System.exit(0);
    }
}
