/** `mixwright node run`: a node until SIGTERM or Ctrl-C, which drain it (05-mixnode §11). */
import { RealClock } from '@mixwright/runtime'
import { createLogger } from '@mixwright/runtime/node'
import { Command } from 'commander'
import { withProgress } from '../progress.js'
import { warnOfExit } from '../requester/exit-options.js'
import { StopSignals } from '../stop-signals.js'
import { exitPolicyOf, givenNodeFlags, type NodeOptions, withNodeFlags } from './node-options.js'
import { describe, summarize } from './node-summary.js'

export function runCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('run').description('Run a node.')
  return withNodeFlags(command)
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await run(flags)))
}

async function run(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenNodeFlags(flags)
  const options = await given.options()
  const { home, json } = given
  exitPolicyOf(options)
  warn(options)
  const clock = new RealClock()
  using signals = new StopSignals()
  const unlock = await home.lock()
  try {
    const { startNode } = await import('./start-node.js')
    const logger = await createLogger(options.log)
    const starting = Promise.race([startNode(home, options, { clock, logger, say }), signals.first])
    const node = await withProgress(clock, 'Starting, and waiting for the directory…', starting)
    if (node === undefined) {
      await unlock()
      // A question to a directory may be on its way still: nobody waits for its answer.
      process.exit(0)
    }
    const summary = summarize(home, options, node.identityKey, node.ports)
    process.stdout.write(json ? `${JSON.stringify(summary)}\n` : `${describe(summary)}Ready. Stop with Ctrl-C.\n`)
    await signals.first
    await withProgress(clock, 'Draining; a second Ctrl-C stops now…', node.stop())
  } finally {
    await unlock()
  }
  return 0
}

function say(text: string): void {
  process.stderr.write(`mixwright: ${text}\n`)
}

/** What weakens privacy, or opens this machine, says so at start-up. */
function warn(options: NodeOptions): void {
  const { noise, replayProtection, authority, exposeSystemInformation, metricsToken, log, exit } = options
  if (exit) warnOfExit(options, say)
  if (noise === 'off') say('--noise off: who watches the wire between nodes sees frames in the clear.')
  if (!replayProtection) say('--replay-protection false: a packet that is sent again passes again, and shows its way.')
  if (authority.length === 0) say('no --authority: whoever answers at the directory URL chooses the next hops.')
  if (metricsToken === undefined) say('no --metrics-token: anybody may read how much traffic this node has.')
  if (exposeSystemInformation) say('--expose-system-information: anybody may read what machine this is.')
  if (log === 'debug') say('--log debug: addresses of peers stand in the log.')
}

const HELP = `
Every option is also read from node.toml in the node's directory, and from MIXWRIGHT_NODE_… (such as MIXWRIGHT_NODE_MIX_PORT).
With --exit the node runs at once and the exit follows when the network can be routed. An exit policy that cannot be had: no exit. The node
goes on as a plain gateway, says so, and tries again every minute. An exit ends, and its clients are told, before the node drains.
SIGTERM and Ctrl-C drain: no packet comes in, and what is held goes out for --drain-ms at most. A second one stops now.
Examples:
  mixwright node run --id mix1
  mixwright node run --id mix1 --log debug --json
  mixwright node run --id gate1 --exit --exit-policy /etc/mixwright/exit-policy.txt`
