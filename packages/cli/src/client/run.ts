/** `mixwright client run`: a client with its local websocket, until Ctrl-C (04-client §4.19). */
import type { Client } from '@mixwright/client'
import { MixError, RealClock } from '@mixwright/runtime'
import { createLogger } from '@mixwright/runtime/node'
import { Command } from 'commander'
import { withProgress } from '../progress.js'
import { StopSignals } from '../stop-signals.js'
import { type ClientOptions, clientOptionsOf, givenFlags, withClientFlags } from './client-options.js'
import { isLoopback, mixnetWarnings, PROFILES_HELP } from './mixnet-options.js'

/** At the end, for what is on its way, milliseconds; what is left goes on at the next start. */
const FLUSH_MS = 400

export function runCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('run').description(
    'Run a client with a websocket for apps: the one of nym-client, message for message.',
  )
  return withClientFlags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await run(flags)))
}

async function run(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenFlags(flags)
  const { directory, json } = given
  const facts = directory.facts()
  const options = await clientOptionsOf(given)
  warn(options, facts.gateway)
  using signals = new StopSignals()
  process.stderr.write(`Starting client ${directory.id}...\n`)
  const logger = options.log === 'silent' ? undefined : await createLogger(options.log)
  const { connectClient } = await import('./connect-client.js')
  let client: Client
  try {
    const work = connectClient(directory, options, { stop: signals.first, ...(logger && { logger }) })
    client = await withProgress(new RealClock(), 'Connecting to the gateway…', work)
  } catch (error) {
    if (error instanceof MixError && error.code === 'MIX_INTERRUPTED') return 0
    throw error
  }
  try {
    const { WebSocketApi } = await import('@mixwright/daemon')
    const { host, port, allowOrigin: allowOrigins, apps } = options
    await using api = await WebSocketApi.listen(client, { host, port, allowOrigins, apps, ...(logger && { logger }) })
    const { address } = client
    const summary = {
      id: directory.id,
      address,
      websocketUrl: api.url,
      gateway: facts.gateway,
      profile: options.profile,
    }
    process.stdout.write(json ? `${JSON.stringify(summary)}\n` : describe(address, api.url))
    await signals.first
  } finally {
    await client.close({ flushMs: FLUSH_MS })
  }
  return 0
}

function describe(address: string, websocketUrl: string): string {
  return `Client startup finished!
The address of this client is: ${address}
The websocket for apps is: ${websocketUrl}
`
}

/** What weakens privacy says so at start-up. */
function warn(options: ClientOptions, registered: string): void {
  const { host, allowOrigin } = options
  const warnings = mixnetWarnings(options, registered)
  if (!isLoopback(host)) warnings.push(`--host ${host}: whoever reaches this address sends and reads as this client.`)
  if (allowOrigin.includes('*'))
    warnings.push('--allow-origin *: every page of every site that your browser shows is let in.')
  for (const warning of warnings) process.stderr.write(`mixwright: ${warning}\n`)
}

const HELP = `${PROFILES_HELP}
Examples:
  mixwright client run --id alice
  mixwright client run --id alice --port 0 --json | my-app    my-app reads where to connect from the first line
Every option is also read from config.toml in the client's directory, and from MIXWRIGHT_CLIENT_… (such as
MIXWRIGHT_CLIENT_PORT). Messages that come while no app is attached wait for the next one, also over a restart.`
