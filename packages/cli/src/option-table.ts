/**
 * Options of a server, each written once: from one table come the flags and their help, the schema, the variables of the
 * environment, and the configuration file with its comments.
 */
import type { Command } from 'commander'
import { z } from 'zod'
import { fromEnvironment, kebab, mergeOptions } from './options.js'

export interface OptionEntry<Schema extends z.ZodType = z.ZodType> {
  readonly schema: Schema
  /** What stands for the value in `--help`; none for a switch. */
  readonly value?: string
  /** What it is, with its unit and what it costs in privacy. One line or more. */
  readonly about: string
  /** For the configuration file, when there is no value yet. */
  readonly example?: string
}

export type OptionTable = Readonly<Record<string, OptionEntry>>

export type OptionsOf<Table extends OptionTable> = { [Name in keyof Table]: z.infer<Table[Name]['schema']> }

/** Keeps the exact types of the table. */
export function optionTable<Table extends OptionTable>(table: Table): Table {
  return table
}

/** Add the flags. */
export function withTableFlags(command: Command, table: OptionTable): Command {
  for (const [name, { value, about, schema }] of Object.entries(table)) {
    const flag = `--${kebab(name)}${value === undefined ? ' [yes]' : ` ${value}`}`
    const standard = defaultOf(schema)
    const shown =
      standard === undefined ? '' : ` (default: ${Array.isArray(standard) ? standard.join(',') || 'none' : standard})`
    command.option(flag, `${about}${shown}`)
  }
  return command
}

/**
 * The options of a server: the file, then the environment, then flags; the later wins. Error: `MIX_OPTIONS`, naming each
 * wrong option, and those that nobody knows.
 */
export function readTable<Table extends OptionTable>(
  table: Table,
  prefix: string,
  file: Readonly<Record<string, unknown>>,
  flags: Readonly<Record<string, unknown>>,
): OptionsOf<Table> {
  const schema = z.strictObject(Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, entry.schema])))
  return mergeOptions(schema, file, fromEnvironment(schema, process.env, prefix), flags) as OptionsOf<Table>
}

/** A configuration file with every option: those that have a value, and those that could have one as comments. */
export function configText<Table extends OptionTable>(head: string, table: Table, options: OptionsOf<Table>): string {
  const lines = Object.entries(table).map(([name, { about, schema, example }]) => {
    const value = options[name]
    const standard = defaultOf(schema)
    const shown = standard === undefined ? '' : ` Default: ${JSON.stringify(standard)}.`
    const comment = wrap(`${about}${shown}`).map((line) => `# ${line}\n`)
    const setting = value === undefined ? `# ${name} = ${example}` : `${name} = ${JSON.stringify(value)}`
    return `${comment.join('')}${setting}\n`
  })
  return `${wrap(head)
    .map((line) => `# ${line}\n`)
    .join('')}\n${lines.join('\n')}`
}

/** What it is when nobody says; undefined when somebody must, or when there may be none. */
function defaultOf(schema: z.ZodType): unknown {
  return schema.safeParse(undefined).data
}

const COLUMNS = 118

function wrap(text: string): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1)!
    if (last.length + word.length + 1 > COLUMNS) lines.push(word)
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return lines
}
