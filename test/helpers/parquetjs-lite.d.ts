/** The part of parquetjs-lite that tests use; it ships no types. */
declare module 'parquetjs-lite' {
  interface Cursor {
    next(): Promise<Record<string, unknown> | null>
  }
  class ParquetReader {
    static openFile(path: string): Promise<ParquetReader>
    getCursor(columns?: readonly (string | readonly string[])[]): Cursor
    close(): Promise<void>
  }
  const parquetjs: { readonly ParquetReader: typeof ParquetReader }
  export default parquetjs
}
