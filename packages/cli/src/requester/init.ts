/** `mixwright requester init`: a new requester: its client's keys, registered with a gateway, and its configuration. */
import { RealClock, silentLogger } from '@mixwright/runtime'
import { Command } from 'commander'
import type { DataHome } from '../data-home.js'
import { configText } from '../option-table.js'
import { withProgress } from '../progress.js'
import { StopSignals } from '../stop-signals.js'
import { fromEverywhere, policyOf } from './exit-options.js'
import { discardLater, type RequesterFacts, storeFileOf, writeFacts } from './requester-facts.js'
import {
  givenRequesterFlags,
  REQUESTER_OPTIONS,
  type RequesterOptions,
  withRequesterFlags,
} from './requester-options.js'
import { describe, summarize } from './requester-summary.js'

export function initCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('init').description(
    'Make a new requester: its keys, its registration with a gateway, and a configuration file with every option.',
  )
  return withRequesterFlags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await init(flags)))
}

async function init(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenRequesterFlags(flags)
  const options = fromEverywhere(given.newOptions())
  const { home, json } = given
  await checkPolicy(options)
  home.prepare()
  const discard = discardLater(home)
  let facts: RequesterFacts
  try {
    facts = await register(home, options)
    home.complete(configText(HEAD(home.id), REQUESTER_OPTIONS, options))
  } catch (error) {
    discard()
    throw error
  }
  const summary = summarize(home.id, facts, options)
  if (json) process.stdout.write(`${JSON.stringify({ ...summary, configFile: home.configFile })}\n`)
  else
    process.stdout.write(
      `${describe(summary)}\nSaved in ${home.path}\nStart it with: mixwright requester run --id ${home.id}\n`,
    )
  return 0
}

/** Better said now than at the first start. Errors: `MIX_OPTIONS`, `MIX_EXIT_POLICY_UNAVAILABLE`. */
async function checkPolicy(options: RequesterOptions): Promise<void> {
  const choice = policyOf(options)
  const { ExitPolicySource } = await import('@mixwright/services')
  const clock = new RealClock()
  const reading = ExitPolicySource.open(choice, { clock, logger: silentLogger })
  const source = await withProgress(clock, 'Reading the exit policy…', reading)
  source.close()
}

/** Connecting for the first time registers. */
async function register(home: DataHome, options: RequesterOptions): Promise<RequesterFacts> {
  using signals = new StopSignals()
  const clock = new RealClock()
  const { connectClient } = await import('../client/connect-client.js')
  const { gateway } = options
  const work = connectClient({ storeFile: storeFileOf(home) }, options, { gateway, stop: signals.first })
  const client = await withProgress(clock, 'Registering with a gateway…', work)
  try {
    return writeFacts(home, client, clock.now())
  } finally {
    await client.close({ flushMs: 0 })
  }
}

const HEAD = (id: string) =>
  `Requester ${id} of mixwright. Flags of \`mixwright requester run\`, and variables MIXWRIGHT_REQUESTER_…, go before what stands here.`

const HELP = `
Examples:
  mixwright requester init --id exit1 --exit-policy /etc/mixwright/exit-policy.txt
  mixwright requester init --id exit1 --exit-policy https://…/exit-policy.txt --nym-apis https://…/api
  mixwright requester init --id test --open-proxy --allow-local-ips     on the network of \`mixwright up\`
The flags are remembered in requester.toml in the requester's directory, which also holds its keys: back them up.`
