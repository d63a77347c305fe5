// Says hello to itself through three mix nodes and a gateway:
//
//   npx mixwright exec -- node docs/examples/client-hello.mjs
import { connect } from '@mixwright/client'

const client = await connect({ directory: process.env.NYM_API })
await client.send(client.address, 'hello world').acknowledged
for await (const message of client.messages()) {
  console.log(message.text())
  break
}
await client.close()
