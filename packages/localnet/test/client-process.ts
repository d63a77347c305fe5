/**
 * A client in a process of its own, for tests that kill it: `client-process DIRECTORY GATEWAY FILE`. It does what its parent
 * says and reports what happens. It takes messages only when told to.
 */
import { type ClientStore, connect, type SendHandle, sqlStore } from '@mixwright/client'

export type Command =
  | { readonly kind: 'send'; readonly to: string; readonly text: string; readonly replySurbs?: number }
  | { readonly kind: 'reply'; readonly senderTag: string; readonly text: string }
  | { readonly kind: 'take' }

export type Report =
  /** `unfinished`: messages of an earlier process that go on. */
  | { readonly kind: 'ready'; readonly address: string; readonly unfinished: number }
  | { readonly kind: 'queued'; readonly text: string }
  | { readonly kind: 'acknowledged'; readonly text: string }
  | { readonly kind: 'failed'; readonly text: string; readonly reason: string }
  /** Messages for the app are on the disk. */
  | { readonly kind: 'stored' }
  | { readonly kind: 'message'; readonly text: string; readonly senderTag: string | undefined }

const [directory, gateway, file] = process.argv.slice(2)
const tell = (report: Report) => process.send!(report)

function telling(store: ClientStore): ClientStore {
  return {
    persistent: store.persistent,
    load: (table) => store.load(table),
    close: () => store.close(),
    async write(changes) {
      await store.write(changes)
      if (changes.some(({ table, value }) => table === 'inbox' && value !== undefined)) tell({ kind: 'stored' })
    },
  }
}

const client = await connect({
  directory: directory!,
  gateway: gateway!,
  store: telling(await sqlStore(file!)),
  profile: 'local',
})

function follow(text: string, { queued, acknowledged }: SendHandle): void {
  queued.then(() => tell({ kind: 'queued', text })).catch(() => {})
  acknowledged.then(
    () => tell({ kind: 'acknowledged', text }),
    (reason) => tell({ kind: 'failed', text, reason: String(reason) }),
  )
}

async function take(): Promise<void> {
  for await (const message of client.messages())
    tell({ kind: 'message', text: message.text(), senderTag: message.senderTag })
}

process.on('message', (command: Command) => {
  if (command.kind === 'take') void take()
  else if (command.kind === 'reply') follow(command.text, client.reply(command.senderTag, command.text))
  else follow(command.text, client.send(command.to, command.text, { replySurbs: command.replySurbs ?? 0 }))
})
process.on('disconnect', () => process.exit())
tell({ kind: 'ready', address: client.address, unfinished: client.status().queue.messages })
