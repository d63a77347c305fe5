/**
 * From the flags of `mixwright node …`, `mixwright directory …` and `mixwright requester …` to the server that they
 * name, and its options.
 */
import type { Command } from 'commander'
import { DataHome, type ServerKind, withHomeFlags } from './data-home.js'
import { type OptionsOf, type OptionTable, readTable, withTableFlags } from './option-table.js'
import { readToml } from './options.js'

export interface GivenFlags<Table extends OptionTable> {
  readonly home: DataHome
  readonly json: boolean
  /** Of a new server. Error: `MIX_OPTIONS`. */
  newOptions(): OptionsOf<Table>
  /** Of one that exists. Errors: `MIX_SERVER_UNKNOWN`, `MIX_OPTIONS`, `MIX_CONFIG_FILE`. */
  options(): Promise<OptionsOf<Table>>
}

/**
 * `standard`: options of which the environment says what they are by default. Error: `MIX_OPTIONS` for an id that is
 * none.
 */
export function givenFlags<Table extends OptionTable>(
  kind: ServerKind,
  table: Table,
  flags: Readonly<Record<string, unknown>>,
  standard: Readonly<Record<string, unknown>> = {},
): GivenFlags<Table> {
  const { id, home: where, json, ...given } = flags
  const home = new DataHome(kind, id as string, where as string | undefined)
  const prefix = `MIXWRIGHT_${kind.toUpperCase()}_`
  return {
    home,
    json: json === true,
    newOptions: () => readTable(table, prefix, standard, given),
    async options() {
      home.check()
      return readTable(table, prefix, { ...standard, ...(await readToml(home.configFile)) }, given)
    },
  }
}

/** Flags of the sub-commands that take all options. */
export function withServerFlags(command: Command, kind: ServerKind, table: OptionTable): Command {
  return withTableFlags(withHomeFlags(command, kind), table)
}
