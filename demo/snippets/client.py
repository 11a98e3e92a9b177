from gradio_client import Client, handle_file

client = Client("http://127.0.0.1:7860")
answers, seen = client.predict(
    image=handle_file("demo/examples/lion.jpg"),
    channels="RG",
    temperature=1.0,
    fill="aligned",
    api_name="/predict_channels",
)
for model, answer in answers["answers"].items():
    print(model, answer["top"][0])
print(seen)  # a file: the picture as the networks saw it
