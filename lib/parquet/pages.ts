/** A page with its content as it is, under a header of our own, in the output's codec. */
import type { EncodedPage } from './chunk-writer.ts'
import { type Codec, compress, decompress, type OutputCodec } from './codec.ts'
import { PAGE, type Page, type PageHeader } from './page.ts'
import { guarded } from './place.ts'

export function recompressed(page: Page, from: Codec, to: OutputCodec): EncodedPage {
  const { header, body } = page
  if (from === to) return page
  const { crc: _crc, ...rest } = header
  const levels = header.type === PAGE.DATA_V2 ? header.definitionBytes + header.repetitionBytes : 0
  const compressed = header.type !== PAGE.DATA_V2 || header.compressed
  const content = guarded(page.place, 'the page', () =>
    decompress(compressed ? from : 'none', body.subarray(levels), header.uncompressedBytes - levels),
  )
  const packed = compressed ? compress(to, content) : content
  const whole = levels === 0 ? packed : Buffer.concat([body.subarray(0, levels), packed])
  return { header: { ...rest, compressedBytes: whole.length } as PageHeader, body: whole }
}
