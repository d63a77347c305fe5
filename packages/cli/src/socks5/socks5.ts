/** `mixwright socks5 …`: a SOCKS5 proxy, and an HTTP proxy, to the world through the mixnet. */
import { Command } from 'commander'
import { initCommand } from './init.js'
import { runCommand } from './run.js'

export function socks5Command(finish: (exitCode: number) => void): Command {
  const command = new Command('socks5').description(
    'A SOCKS5 proxy, and an HTTP proxy, to the world through the mixnet, as nym-socks5-client is.',
  )
  for (const make of [initCommand, runCommand]) command.addCommand(make(finish).exitOverride())
  return command
}
