/** `mixwright client init`: a new client, registered with a gateway. Prints what nym-client prints (04-client §4.19). */
import type { Client } from '@mixwright/client'
import { RealClock } from '@mixwright/runtime'
import { Command } from 'commander'
import { withProgress } from '../progress.js'
import { StopSignals } from '../stop-signals.js'
import { VERSION } from '../version.js'
import type { ClientDirectory, ClientFacts } from './client-directory.js'
import { configText, type GivenFlags, givenFlags, newClientOptions, withClientFlags } from './client-options.js'
import { type MixnetOptions, PROFILES_HELP } from './mixnet-options.js'

export function initCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('init').description('Make a new client: its keys, and its registration with a gateway.')
  return withClientFlags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => {
      const given = givenFlags(flags)
      const options = newClientOptions(given)
      finish(await initialise(given, options, configText(given.directory.id, options)))
    })
}

/** Make the client and print it; `config` is its configuration file. Resolves with the exit code. */
export async function initialise(
  { directory, json }: GivenFlags,
  options: MixnetOptions & { readonly port: number },
  config: string,
): Promise<number> {
  directory.prepare()
  process.stderr.write('Initialising client...\n')
  let facts: ClientFacts
  try {
    facts = await register(directory, options)
    directory.complete(facts, config)
  } catch (error) {
    directory.discard()
    throw error
  }
  process.stderr.write(`Saved configuration file to ${directory.configFile}\n`)
  const { summarize, describe } = await import('./init-summary.js')
  const summary = summarize(VERSION, directory.id, facts, options.port)
  process.stdout.write(json ? `${JSON.stringify(summary)}\n` : describe(summary))
  return 0
}

/** Connecting for the first time registers. */
async function register(directory: ClientDirectory, options: MixnetOptions): Promise<ClientFacts> {
  using signals = new StopSignals()
  const clock = new RealClock()
  const { connectClient } = await import('./connect-client.js')
  const work = connectClient(directory, options, { gateway: options.gateway, stop: signals.first })
  const client = await withProgress(clock, 'Registering with a gateway…', work)
  const facts = factsOf(client, clock.now())
  await client.close({ flushMs: 0 })
  return facts
}

function factsOf(client: Client, nowMs: number): ClientFacts {
  const { address, gateway } = client.status()
  const { identity, websocketUrls } = gateway
  return { address, gateway: identity, gatewayUrls: [...websocketUrls], registeredAt: new Date(nowMs).toISOString() }
}

const HELP = `${PROFILES_HELP}
Examples:
  mixwright client init --id alice                             on the network of \`mixwright up\` on this machine
  mixwright client init --id alice --nym-apis https://…/api    on another one
  mixwright client init --id bob --port 1978 --profile fast
The flags are remembered in config.toml in the client's directory.`
