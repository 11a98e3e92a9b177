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

data, preview = client.predict(
    file=handle_file("demo/examples/lion_bands.npy"),
    bands="R, G, B, 0.6125, 0.525",  # names or wavelengths in µm, ? for unknown
    leave_out=True,  # ask also without each band
    api_name="/predict_bands",
)
print("adaptive_vgg19", data["answer"]["top"][0])
for band, answer in zip(data["bands"], data["without"], strict=True):
    print("without", band["band"], answer["top"][0])
