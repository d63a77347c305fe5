/**
 * `mixwright node rotate-keys`: in an emergency, throw the Sphinx keys of a stopped node away. A running node is not asked:
 * stopping it drains what it holds with the old key, and then nothing is lost that would not be lost anyway.
 */
import { Command } from 'commander'
import { withHomeFlags } from '../data-home.js'
import { givenFlags } from '../server-options.js'
import { NODE_OPTIONS } from './node-options.js'

export function rotateKeysCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('rotate-keys').description(
    'In an emergency: throw away the Sphinx keys of a stopped node. Its identity, Noise key and mailboxes stay.',
  )
  return withHomeFlags(command, 'node')
    .addHelpText('after', HELP)
    .action(async (flags: Record<string, unknown>) => finish(await rotateKeys(flags)))
}

async function rotateKeys(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const given = givenFlags('node', NODE_OPTIONS, flags)
  const options = await given.options()
  const { home, json } = given
  const unlock = await home.lock()
  try {
    const { loadCryptoProvider } = await import('@mixwright/sphinx')
    const { discardSphinxKeys } = await import('@mixwright/node')
    const discarded = discardSphinxKeys(home.path, await loadCryptoProvider(options.crypto))
    const ids = discarded.map(({ rotationId }) => rotationId)
    const text =
      ids.length === 0
        ? 'There was no Sphinx key: one is drawn at the next start.\n'
        : `Thrown away: the Sphinx keys of rotation ${ids.join(' and ')}. A new one is drawn at the next start.\n`
    process.stdout.write(json ? `${JSON.stringify({ id: home.id, discarded })}\n` : text)
  } finally {
    await unlock()
  }
  return 0
}

const HELP = `
Keys rotate by themselves, as the directory says: this is for a key that somebody may have copied. Stop the node, run this, start
it. Packets that were built for the old key are lost, until the directory has read the new one and clients have read the directory.
Example:
  mixwright node rotate-keys --id mix1`
