/**
 * A page of the documentation as its code blocks, by section, in order; and how what it prints is compared. What a block is
 * for is told by its language: `js` is a file, `sh` is typed, `text` is printed, `websocket` is a conversation.
 */
import { escaped } from './program.js'

export type Block =
  | { readonly kind: 'file'; readonly name: string; readonly text: string }
  /** `terminal`: as in the block's first line, `# terminal 2`. */
  | { readonly kind: 'type'; readonly terminal: number; readonly lines: readonly string[] }
  | { readonly kind: 'printed'; readonly terminal: number; readonly text: string }
  | { readonly kind: 'conversation'; readonly url: string; readonly lines: readonly string[] }

export interface Section {
  readonly title: string
  readonly blocks: readonly Block[]
}

/** Throws when a block is of no known kind: nothing on the page may go untested. */
export function readSections(markdown: string): Section[] {
  let terminal = 0
  const read = (language: string, text: string): Block => {
    const [first = '', ...rest] = text.split('\n')
    const named = /^# terminal (\d+)$/.exec(first)
    if (named) terminal = Number(named[1])
    switch (language) {
      case 'js': {
        const [, name] = /^\/\/ (\S+)$/.exec(first) ?? []
        if (name !== undefined) return { kind: 'file', name, text }
        break
      }
      case 'sh':
        if (named) return { kind: 'type', terminal, lines: rest }
        break
      case 'text':
        return { kind: 'printed', terminal, text: named ? rest.join('\n') : text }
      case 'websocket':
        return { kind: 'conversation', url: first, lines: rest }
    }
    throw new Error(`nobody knows what this block is for:\n\`\`\`${language}\n${text}`)
  }
  return markdown
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.slice(0, section.indexOf('\n')),
      blocks: [...section.matchAll(/^```(\S*)\n([\s\S]*?)\n```$/gm)].map(([, language, text]) =>
        read(language!, text!),
      ),
    }))
}

/** `…` stands for anything within a line, and alone in a line for any lines. */
export function pattern(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '…' ? '(?:.*\n)*?' : `${line.split('…').map(escaped).join('.*')}\n`))
    .join('')
}
