# my-pictures/train/<class>/*.jpg and my-pictures/val/<class>/*.jpg
pip install -r requirements-dev.txt
python -m train.run --model dynamic_vgg19 --data-root my-pictures --run-dir runs/mine
python -m train.evaluate --checkpoint runs/mine --data-root my-pictures --split val --channels all
