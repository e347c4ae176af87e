import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.parquet.hadoop.rewrite.MaskMode;
import org.apache.parquet.hadoop.rewrite.ParquetRewriter;
import org.apache.parquet.hadoop.rewrite.RewriteOptions;

/**
 * A peer: the other engine that copies untouched chunks. It can't replace values, so it does less than the others: `nullify` writes nulls in
 * the column's place, `prune` leaves the column out.
 *
 *   Rewrite nullify|prune COLUMN INPUT-OR-FOLDER OUTPUT-OR-FOLDER
 */
public class Rewrite {
  public static void main(String[] args) throws Exception {
    java.nio.file.Path input = java.nio.file.Path.of(args[2]);
    java.nio.file.Path output = java.nio.file.Path.of(args[3]);
    List<java.nio.file.Path> files = new ArrayList<>();
    if (Files.isDirectory(input)) {
      Files.createDirectories(output);
      try (var listed = Files.list(input)) {
        listed.sorted().forEach(files::add);
      }
    } else files.add(input);
    for (java.nio.file.Path file : files) {
      java.nio.file.Path to = Files.isDirectory(output) ? output.resolve(file.getFileName()) : output;
      RewriteOptions.Builder options =
          new RewriteOptions.Builder(new Configuration(), new Path(file.toUri()), new Path(to.toUri()));
      if (args[0].equals("prune")) options.prune(List.of(args[1]));
      else options.mask(Map.of(args[1], MaskMode.NULLIFY));
      try (ParquetRewriter rewriter = new ParquetRewriter(options.build())) {
        rewriter.processBlocks();
      }
    }
  }
}
