/** `mixwright requester run`: a network requester until Ctrl-C (06-service-providers §2). */
import { PROFILES } from '@mixwright/client/profile'
import { MixError, RealClock } from '@mixwright/runtime'
import { createLogger } from '@mixwright/runtime/node'
import { Command } from 'commander'
import { withProgress } from '../progress.js'
import { StopSignals } from '../stop-signals.js'
import { policyOf, warnOfExit } from './exit-options.js'
import { readFacts } from './requester-facts.js'
import { givenRequesterFlags, type RequesterOptions, withRequesterFlags } from './requester-options.js'
import { describe, lines, summarize } from './requester-summary.js'

export function runCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('run').description('Run a requester.')
  return withRequesterFlags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await run(flags)))
}

async function run(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenRequesterFlags(flags)
  const options = await given.options()
  const { home, json } = given
  const facts = readFacts(home)
  const policy = policyOf(options)
  warn(options, facts.gateway)
  using signals = new StopSignals()
  const clock = new RealClock()
  const logger = await createLogger(options.log)
  const { startRequester } = await import('./start-requester.js')
  const starting = startRequester(home, options, { policy, clock, logger, stop: signals.first })
  try {
    const requester = await withProgress(clock, 'Connecting to the gateway…', starting)
    const { healthUrl } = requester
    const summary = summarize(home.id, facts, options)
    const text = `${describe(summary)}${healthUrl === null ? '' : lines([['Health', `${healthUrl}/health`]])}Ready. Stop with Ctrl-C.\n`
    process.stdout.write(json ? `${JSON.stringify({ ...summary, healthUrl })}\n` : text)
    await signals.first
    await requester.close()
  } catch (error) {
    if (!(error instanceof MixError && error.code === 'MIX_INTERRUPTED')) throw error
    // A question for the exit policy may be on its way still: nobody waits for its answer.
    process.exit(0)
  }
  return 0
}

/** What weakens privacy, or opens this machine, says so at start-up. */
function warn(options: RequesterOptions, registered: string): void {
  const { profile, authority, host, healthPort, gateway } = options
  const say = (text: string) => process.stderr.write(`mixwright: ${text}\n`)
  if (profile !== 'default') say(`--profile ${profile}: ${PROFILES[profile].effect}`)
  warnOfExit(options, say)
  if (authority.length === 0) say('no --authority: whoever answers at the directory URL chooses all hops.')
  if (healthPort !== undefined && host !== '::1' && !host.startsWith('127.'))
    say(`--host ${host}: whoever reaches this address reads how much goes through this requester.`)
  if (gateway !== 'random' && gateway !== 'latency' && gateway !== registered)
    say(`--gateway is for new requesters: this one stays with ${registered}, which is a part of its address.`)
}

const HELP = `
Every option is also read from requester.toml in the requester's directory, and from MIXWRIGHT_REQUESTER_… (such as
MIXWRIGHT_REQUESTER_HEALTH_PORT). An exit policy that cannot be read, is malformed or empty: it does not start.
Examples:
  mixwright requester run --id exit1
  mixwright requester run --id exit1 --health-port 9300 --log info --json`
