/**
 * Options of a network, from three places: a TOML file, then the environment (`MIXWRIGHT_…`), then flags; the later wins.
 * One schema checks them all, so that each means the same wherever it is written.
 */
import { readFileSync } from 'node:fs'
import { MixError } from '@mixwright/runtime'
import type { Command } from 'commander'
import { z } from 'zod'

/** First port when none is given: 1789, the mix port, with a zero. */
export const DEFAULT_PORT = 17890

const count = z.coerce.number().int()
const flag = z.union([
  z.boolean(),
  z.enum(['true', 'false', '1', '0']).transform((text) => text === 'true' || text === '1'),
])

const networkOptions = z.strictObject({
  mixes: count.min(3).max(200).optional(),
  gateways: count.min(1).max(200).optional(),
  port: count.min(0).max(65_535).optional(),
  seed: z.string().min(1).optional(),
  data: z.string().min(1).optional(),
  out: z.string().min(1).optional(),
  clients: z
    .union([z.array(z.string()), z.string().transform((text) => text.split(',').map((name) => name.trim()))])
    .optional(),
  clientProfile: z.enum(['default', 'fast', 'no-cover', 'local']).optional(),
  crypto: z.enum(['sodium-native', 'libsodium-wasm', 'noble']).optional(),
  log: z.enum(['silent', 'error', 'warn', 'info', 'debug']).default('warn'),
  json: flag.default(false),
  quiet: flag.default(false),
})

export type UpOptions = z.infer<typeof networkOptions>

/** Add the flags of a network to a sub-command. */
export function withNetworkFlags(command: Command): Command {
  return command
    .option('--mixes <n>', 'mix nodes, dealt into 3 layers (default: 3)')
    .option('--gateways <n>', 'gateways (default: 2)')
    .option(
      '--port <n>',
      `directory's port; nodes take the following ones; 0: any free port for everything (default: ${DEFAULT_PORT})`,
    )
    .option('--seed <text>', 'draw every key from this text, to repeat a run; such keys protect nobody')
    .option(
      '--data <dir>',
      'keep keys, ports and mailboxes here, and resume them (default: temporary, removed at the end)',
    )
    .option('--clients <names>', 'start clients of these names, each behind a local websocket: alice,bob')
    .option(
      '--client-profile <name>',
      'how they send: default (as on the real network), fast, no-cover or local (default: local)',
    )
    .option('--out <file>', 'write the network as JSON here, once it is ready')
    .option('--crypto <name>', 'sodium-native, libsodium-wasm or noble (default: the fastest that loads)')
    .option('--log <level>', 'silent, error, warn, info or debug, to standard error (default: warn)')
    .option('--config <file>', 'TOML file with the same options; MIXWRIGHT_… variables and flags go before it')
}

/** Merge and check. Error: `MIX_OPTIONS`, naming the option and what it takes. */
export function readOptions(
  flags: Readonly<Record<string, unknown>>,
  environment: NodeJS.ProcessEnv,
): Promise<UpOptions> {
  return merge(flags, environment)
}

async function merge(flags: Readonly<Record<string, unknown>>, environment: NodeJS.ProcessEnv): Promise<UpOptions> {
  const { config = environment.MIXWRIGHT_CONFIG, ...given } = flags
  const fromFile = typeof config === 'string' ? await readToml(config) : {}
  const fromEnvironment: Record<string, string> = {}
  for (const name of Object.keys(networkOptions.shape)) {
    const value = environment[`MIXWRIGHT_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`]
    if (value !== undefined && value !== '') fromEnvironment[name] = value
  }
  const parsed = networkOptions.safeParse({ ...fromFile, ...fromEnvironment, ...given })
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(
    ({ path, message }) => `${path.length > 0 ? `--${path.join('.')}: ` : ''}${message}`,
  )
  throw new MixError('MIX_OPTIONS', problems.join('; '), { kind: 'usage' })
}

async function readToml(path: string): Promise<Record<string, unknown>> {
  const { parse } = await import('smol-toml')
  try {
    return parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    const message = `The configuration file ${path} cannot be read: ${(cause as Error).message}`
    throw new MixError('MIX_CONFIG_FILE', message, { kind: 'usage', data: { path }, cause })
  }
}
