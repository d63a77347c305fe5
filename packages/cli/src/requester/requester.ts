/** `mixwright requester …`: an exit to the world for anonymous clients, standalone: a client of any gateway. */
import { Command } from 'commander'
import { initCommand } from './init.js'
import { runCommand } from './run.js'
import { showCommand } from './show.js'

export function requesterCommand(finish: (exitCode: number) => void): Command {
  const command = new Command('requester').description(
    'A network requester: reaches the world for SOCKS5, HTTP proxy and fetch clients that it never knows.',
  )
  for (const make of [initCommand, runCommand, showCommand]) command.addCommand(make(finish).exitOverride())
  return command
}
