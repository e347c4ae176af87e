/** Markup that cannot be forgotten to be escaped: what is put into a template is text, unless it is markup itself. Pure. */

export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type Piece = string | number | Markup | undefined | readonly Piece[]

/** `html`<td>${name}</td>``: for text between tags and in quoted attributes, nowhere else. */
export function html(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Markup {
  return new Markup(strings.reduce((all, string, i) => `${all}${i === 0 ? '' : written(pieces[i - 1])}${string}`, ''))
}

function written(piece: Piece): string {
  if (piece === undefined) return ''
  if (piece instanceof Markup) return piece.text
  if (typeof piece === 'object') return piece.map(written).join('')
  return escaped(String(piece))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export function escaped(text: string): string {
  // Controls are not allowed in HTML, and direction marks could make a name look like another one.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const visible = text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
  return visible.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}
