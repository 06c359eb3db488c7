import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import loci.common.services.ServiceFactory;
import loci.formats.FormatTools;
import loci.formats.ImageWriter;
import loci.formats.MetadataTools;
import loci.formats.meta.IMetadata;
import loci.formats.out.OMETiffWriter;
import loci.formats.out.TiffWriter;
import loci.formats.services.OMEXMLService;

/** Writes TIFF and OME-TIFF in the ways that Bio-Formats offers into the directory that is its argument. */
class WriteBioFormats {
    static final int W = 203, H = 140;

    static byte[] plane(int seed, int type, int samples, boolean little) {
        int bytes = FormatTools.getBytesPerPixel(type);
        ByteBuffer b = ByteBuffer.allocate(W * H * bytes * samples).order(little ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
        for (int n = 0; n < W * H * samples; n++) {
            int v = (n * 7 + n / W * 13 + seed * 31) % 4096;
            if (type == FormatTools.UINT8) b.put((byte) v);
            else if (type == FormatTools.UINT16) b.putShort((short) v);
            else b.putFloat(v / 3f);
        }
        return b.array();
    }

    static IMetadata describe(int series, boolean little, int z, int c, int samples, int type) throws Exception {
        IMetadata meta = new ServiceFactory().getInstance(OMEXMLService.class).createOMEXMLMetadata();
        for (int s = 0; s < series; s++)
            MetadataTools.populateMetadata(meta, s, "series " + s, little, "XYCZT", FormatTools.getPixelTypeString(type), W, H, z, c * samples, 1, samples);
        return meta;
    }

    /** Every way in one place: what is not asked for has the writer's default. */
    static void write(String path, int series, boolean little, int z, int c, int samples, int type, String compression, boolean big, int tile)
            throws Exception {
        TiffWriter writer = path.endsWith(".ome.tif") ? new OMETiffWriter() : new TiffWriter();
        writer.setMetadataRetrieve(describe(series, little, z, c, samples, type));
        writer.setCompression(compression);
        writer.setBigTiff(big);
        writer.setInterleaved(true);
        if (tile > 0) {
            writer.setTileSizeX(tile);
            writer.setTileSizeY(tile);
        }
        new File(path).delete();
        writer.setId(path);
        for (int s = 0; s < series; s++) {
            writer.setSeries(s);
            for (int n = 0; n < z * c; n++) writer.saveBytes(n, plane(s * 100 + n, type, samples, little));
        }
        writer.close();
    }

    public static void main(String[] words) throws Exception {
        loci.common.DebugTools.setRootLevel("ERROR");
        String f = words[0] + "/";
        int u8 = FormatTools.UINT8, u16 = FormatTools.UINT16, f32 = FormatTools.FLOAT;
        String none = TiffWriter.COMPRESSION_UNCOMPRESSED;
        write(f + "plain.tif", 1, true, 1, 1, 1, u16, none, false, 0);
        write(f + "plain.ome.tif", 1, true, 1, 1, 1, u16, none, false, 0);
        write(f + "big-endian.ome.tif", 1, false, 2, 1, 1, u16, none, false, 0);
        write(f + "stack.ome.tif", 1, true, 3, 2, 1, u16, none, false, 0);
        write(f + "bigtiff.ome.tif", 1, true, 3, 1, 1, u16, none, true, 0);
        write(f + "tiles.ome.tif", 1, true, 1, 2, 1, u16, none, false, 64);
        write(f + "rgb.ome.tif", 1, true, 1, 1, 3, u8, none, false, 0);
        write(f + "float.ome.tif", 1, true, 2, 1, 1, f32, none, false, 0);
        write(f + "series.ome.tif", 3, true, 2, 1, 1, u16, none, false, 0);
        write(f + "lzw.ome.tif", 1, true, 1, 1, 1, u16, TiffWriter.COMPRESSION_LZW, false, 0);
        write(f + "zlib.ome.tif", 1, true, 1, 1, 1, u16, TiffWriter.COMPRESSION_ZLIB, false, 0);
    }
}
